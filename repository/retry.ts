import { setTimeout as sleep } from 'node:timers/promises';
import { defined } from '../model/defined.ts';
import { HoldfastError } from '../model/errors.ts';

/** How often and after which pauses to retry. */
export interface RetryLimits {
  /** Most tries in all, at least 1. */
  readonly attempts: number;
  /** Longest pause before the second try. It doubles with each try. */
  readonly baseDelayMs: number;
  /** Upper limit for all pauses. */
  readonly maxDelayMs: number;
}

/** At most about 5 seconds of pauses. Longer outages are left to Temporal's retries, which occupy no slot of a worker. */
export const DEFAULT_RETRY: RetryLimits = { attempts: 6, baseDelayMs: 200, maxDelayMs: 3_000 };

/**
 * Calls `operation` until it succeeds, fails with an error that isn't transient, or has no try left. Then throws the last error.
 * Pauses have full jitter (uniform between 0 and the limit), so that requests that failed together don't return together.
 */
export async function withRetry<T>(
  operation: () => Promise<T>,
  limits: RetryLimits,
  signal: AbortSignal | undefined,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await operation();
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof HoldfastError) || !error.transient || attempt >= limits.attempts) throw error;
      const longestMs = Math.min(limits.maxDelayMs, limits.baseDelayMs * 2 ** (attempt - 1));
      await pause(Math.random() * longestMs, signal);
    }
  }
}

/** Sleeps. If aborted, throws the signal's reason, as all calls here do. */
async function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(delayMs, undefined, defined({ signal }));
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
