import type { RestoreMeasurement } from '../../model/recovery.ts';

/** No estimate for a restore more than this many times larger than the largest measured one: it would be a guess. */
const FARTHEST = 1_000;
/** Two sizes must differ by at least this factor. Closer ones can't separate the fixed time of a restore from its rate. */
const APART = 1.5;

/** How long restores take: a fixed time and a rate. */
interface RestorePace {
  readonly fixedMs: number;
  readonly msPerByte: number;
  /** Bytes of the largest restore that was measured. */
  readonly measuredBytes: number;
  /** Number of restores that the pace rests on. */
  readonly restores: number;
}

/**
 * The pace of earlier restores. Undefined where none was measured. The rate is the median over pairs of restores (Theil and Sen), so a single
 * disturbed restore doesn't change it. If all had about the same size, their whole time counts as rate: the estimate for a larger restore is then too
 * high rather than too low. Pure.
 */
export function restorePace(measurements: readonly RestoreMeasurement[]): RestorePace | undefined {
  const known = measurements.filter(({ bytes, durationMs }) => bytes > 0 && durationMs > 0);
  if (known.length === 0) return undefined;
  const slopes = known.flatMap((small) =>
    known
      .filter(({ bytes }) => bytes >= small.bytes * APART)
      .map((large) => (large.durationMs - small.durationMs) / (large.bytes - small.bytes)),
  );
  const rates = slopes.length > 0 ? slopes : known.map(({ bytes, durationMs }) => durationMs / bytes);
  const msPerByte = Math.max(0, median(rates));
  const rest = known.map(({ bytes, durationMs }) => durationMs - msPerByte * bytes);
  return {
    fixedMs: Math.max(0, median(rest)),
    msPerByte,
    measuredBytes: Math.max(...known.map(({ bytes }) => bytes)),
    restores: known.length,
  };
}

/** Milliseconds for a restore of this size at this pace. Undefined for one far larger than any that was measured. Pure. */
export function estimateRestoreMs(pace: RestorePace, bytes: number): number | undefined {
  if (bytes > pace.measuredBytes * FARTHEST) return undefined;
  return Math.round(pace.fixedMs + pace.msPerByte * bytes);
}

/** The median. Of two numbers in the middle it takes the larger one. */
function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
