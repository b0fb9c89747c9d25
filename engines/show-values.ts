/** Set to 1 in the environment of a worker, it has the worker write values of rows that errors and comparisons are about to its own stderr. */
export const SHOW_VALUES = 'HOLDFAST_SHOW_VALUES';

/**
 * Writes what may hold values of rows where only somebody who reads this worker's own output sees it, and only if that was asked for: never
 * into history, or into a log that is shipped.
 */
export function showValues(words: () => string): void {
  if (process.env[SHOW_VALUES] === '1') process.stderr.write(`${SHOW_VALUES}: ${words()}\n`);
}
