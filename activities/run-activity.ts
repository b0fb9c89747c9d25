import { activityInfo, Context, heartbeat, log } from '@temporalio/activity';
import type { VerbContext } from '../engines/engine.ts';
import { resolveSecret } from '../engines/resolve-secret.ts';
import { defined } from '../model/defined.ts';
import { partTeller } from './tell-part.ts';
import { asFailure, lastFailureIn } from './temporal-failure.ts';

/** Time between heartbeats, well below the timeout of 15 s. Heartbeats are cheap: the SDK sends only some of them. */
const BEAT_EVERY_MS = 1_000;

/**
 * Runs the body of an activity: passes it its context, heartbeats while it works, and turns its error into a typed failure for
 * Temporal. The heartbeat shows that this process lives. A peer that stalls is cut off by the timeouts of its own connection.
 */
export async function asActivity<T>(body: (verb: VerbContext) => Promise<T>): Promise<T> {
  const context = Context.current();
  // The last attempt's progress is sent until this attempt has its own, since the next attempt may need it.
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
      ...defined({ tellPart: partTeller.getStore() }),
    });
  } catch (error) {
    // After a cancellation, any error that the body throws counts as the cancellation.
    if (context.cancellationSignal.aborted) await context.cancelled;
    const { failure, last } = asFailure(error, activityInfo().attempt, before);
    // The SDK sends the last heartbeat with the failure, and so the next attempt gets it.
    if (last !== undefined) heartbeat({ ...progress, lastFailure: last });
    throw failure;
  } finally {
    clearInterval(beat);
  }
}

/** Rejects when the activity is cancelled. */
export function stopped(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
