import { ApplicationFailure, activityInfo, Context, heartbeat, log } from '@temporalio/activity';
import { type FailureDetails, HoldfastError, messageOf } from '../model/errors.ts';
import type { VerbContext } from './engine.ts';
import { resolveSecret } from './secrets.ts';

/** Well below the heartbeat timeout of 15 s, and cheap: the SDK sends only some of them. */
const BEAT_EVERY_MS = 1_000;

/**
 * Runs the body of an activity: beats while it works (liveness of this process; a stalled peer is cut by the timeouts of
 * the connection it stalls), hands it its context, and types its failure for Temporal.
 */
export async function asActivity<T>(body: (verb: VerbContext) => Promise<T>): Promise<T> {
  const context = Context.current();
  // Until this attempt has progress of its own, what the last one told stays: the next attempt may need it.
  let progress: object = activityInfo().heartbeatDetails ?? {};
  const beat = setInterval(() => heartbeat(progress), BEAT_EVERY_MS);
  try {
    return await body({
      signal: context.cancellationSignal,
      attempt: activityInfo().attempt,
      heartbeat: (latest) => {
        if (latest !== undefined) progress = latest;
        heartbeat(progress);
      },
      log: (message, fields) => log.info(message, fields),
      secret: resolveSecret,
    });
  } catch (error) {
    // Whatever a body throws once it was told to stop, the reason is the cancellation.
    if (context.cancellationSignal.aborted) await context.cancelled;
    throw asFailure(error, activityInfo().attempt);
  } finally {
    clearInterval(beat);
  }
}

/** A failure that no edge has typed may be a mistake of ours: a few tries, not a day of them. */
const UNTYPED_ATTEMPTS = 5;

/** A typed Temporal failure: the code as its type, the remedy in the message, retried only when that can help. */
function asFailure(error: unknown, attempt: number): unknown {
  if (error instanceof HoldfastError) {
    const details: FailureDetails = { problem: error.message, remedy: error.remedy };
    return ApplicationFailure.create({
      type: error.code,
      message: `${error.message.replace(/\.$/, '')}. ${error.remedy}`,
      nonRetryable: !error.transient,
      details: [details],
      ...(error.cause instanceof Error ? { cause: error.cause } : {}),
    });
  }
  return ApplicationFailure.create({
    type: 'UNEXPECTED',
    message: messageOf(error),
    nonRetryable: attempt >= UNTYPED_ATTEMPTS,
    ...(error instanceof Error ? { cause: error } : {}),
  });
}

/** Rejects when the activity is told to stop. */
export function stopped(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
