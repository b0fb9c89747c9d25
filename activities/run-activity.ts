import { activityInfo, Context, heartbeat, log } from '@temporalio/activity';
import type { VerbContext } from '../engines/engine.ts';
import { resolveSecret } from '../engines/secrets.ts';
import { asFailure, lastFailureIn } from './temporal-failure.ts';

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
  const before = lastFailureIn(progress);
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
    const { failure, last } = asFailure(error, activityInfo().attempt, before);
    // The SDK sends the last heartbeat with the failure, so the next attempt knows.
    if (last !== undefined) heartbeat({ ...progress, lastFailure: last });
    throw failure;
  } finally {
    clearInterval(beat);
  }
}

/** Rejects when the activity is told to stop. */
export function stopped(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
