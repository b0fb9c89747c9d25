/** One contender's measurements of all rounds. */
export interface Series {
  readonly name: string;
  readonly seconds: readonly number[];
  /** Bytes that the last round left on disk or in the store. */
  readonly storedBytes?: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  if (sorted.length % 2 === 1) return upper;
  return ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Seconds as `4.21 (4.10–4.60)`: median and range. */
export function renderSeconds(seconds: readonly number[]): string {
  return `${median(seconds).toFixed(2)} (${Math.min(...seconds).toFixed(2)}–${Math.max(...seconds).toFixed(2)})`;
}
