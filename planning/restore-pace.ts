import type { RestoreMeasurement } from '../model/recovery.ts';

/** Beyond so many times the largest restore that was measured, an estimate would be a guess. */
const FARTHEST = 1_000;
/** Sizes that are closer than this separate the fixed time of a restore from its rate no better than chance. */
const APART = 1.5;

/** How long a restore takes: a time that every restore needs, and a rate. */
interface RestorePace {
  readonly fixedMs: number;
  readonly msPerByte: number;
  /** Bytes of the largest restore that was measured. */
  readonly measuredBytes: number;
  /** Restores that it rests on. */
  readonly restores: number;
}

/**
 * The pace of earlier restores; undefined where none was measured. The rate is the median over pairs of restores (Theil and Sen), so that one that was
 * disturbed decides nothing. Where all were of about one size, what they took counts as rate: an estimate for a larger one is then
 * too high, not too low. Pure.
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

/** Milliseconds that a restore of so many bytes takes at this pace; undefined where it is far larger than any that was measured. Pure. */
export function estimateRestoreMs(pace: RestorePace, bytes: number): number | undefined {
  if (bytes > pace.measuredBytes * FARTHEST) return undefined;
  return Math.round(pace.fixedMs + pace.msPerByte * bytes);
}

/** The upper one of two in the middle. */
function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
