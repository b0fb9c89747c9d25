/** Environment variable of a worker. If it is 1, the worker writes to its own stderr the values of rows that errors and comparisons are about. */
export const SHOW_VALUES = 'HOLDFAST_SHOW_VALUES';

/**
 * Writes text that may hold values of rows to this worker's own stderr, and only if `HOLDFAST_SHOW_VALUES` is 1. Such text must never get into
 * history or into a log that is shipped.
 */
export function showValues(words: () => string): void {
  if (process.env[SHOW_VALUES] === '1') process.stderr.write(`${SHOW_VALUES}: ${words()}\n`);
}
