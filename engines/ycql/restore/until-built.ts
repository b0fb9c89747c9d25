import { setTimeout as sleep } from 'node:timers/promises';
import { permanent } from '../../../model/errors.ts';
import type { RestoreContext } from '../../engine.ts';

const HOUR_MS = 3_600_000;

/** The pace of the wait, in milliseconds of a monotonic clock. */
interface BuildPatience {
  readonly everyMs: number;
  readonly limitMs: number;
  /** How often the log says that the wait goes on. */
  readonly tellEveryMs: number;
}

/**
 * A build over all rows of a large table takes hours. No server reports over CQL how far it is, or that it failed; only its log does. So the limit
 * is high, but lower than the day after which the workflow would end the work without saying why.
 */
const PATIENCE: BuildPatience = { everyMs: 250, limitMs: 20 * HOUR_MS, tellEveryMs: 600_000 };

/**
 * Waits until `isBuilt` returns true.
 *
 * @param what e.g. "index by_name on shop.orders"
 * @throws HoldfastError `RESTORE_NOT_BUILT` (permanent) if it doesn't within the limit
 */
export async function untilBuilt(
  what: string,
  isBuilt: () => Promise<boolean>,
  { signal, log }: Pick<RestoreContext, 'signal' | 'log'>,
  { everyMs, limitMs, tellEveryMs }: BuildPatience = PATIENCE,
): Promise<void> {
  const begunAt = performance.now();
  let reportedAt = begunAt;
  while (!(await isBuilt())) {
    const now = performance.now();
    if (now - begunAt >= limitMs) throw notBuilt(what, limitMs);
    if (now - reportedAt >= tellEveryMs) {
      reportedAt = now;
      log('an index or view is still being built: nodetool compactionstats shows how far each node is', {
        object: what,
        minutes: Math.round((now - begunAt) / 60_000),
      });
    }
    await sleep(everyMs, undefined, { signal });
  }
}

function notBuilt(what: string, limitMs: number): Error {
  return permanent(
    'RESTORE_NOT_BUILT',
    `The server has not built the ${what} within ${Math.round(limitMs / HOUR_MS)} hours`,
    'See the logs of the nodes for why the build failed, or does not end (nodetool compactionstats). The rows are there: drop the object and create it by hand, or restore again.',
  );
}
