import { closeIdle } from '../server/session-pool.ts';
import { lanes } from '../thread-pool.ts';
import { connectIfThere, dropBookkeeping, readState, sessionKey, underRestore } from './bookkeeping.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';

/** Ends this process's idle sessions in the database under restore. */
export async function closeRestoreSessions(
  job: RestoreJob,
  database: Pick<DatabaseJob, 'names'>,
): Promise<void> {
  const key = sessionKey(underRestore(job, database));
  await Promise.all([
    closeIdle(key),
    lanes.runInIdle({ kind: 'close', sessions: key }, { signal: job.context.signal }),
  ]);
}

/** Drops the bookkeeping wherever the database stands now; one that bears another restore's is left alone. */
export async function dropOwnBookkeeping(
  job: RestoreJob,
  { names }: Pick<DatabaseJob, 'names'>,
): Promise<void> {
  const { signal, request } = job.context;
  await closeRestoreSessions(job, { names });
  for (const name of new Set([names.working, names.to])) {
    const session = await connectIfThere({ target: job.target, names: [name], signal });
    if (session === undefined) continue;
    try {
      if ((await readState(session))?.restore === request.restore) await dropBookkeeping(session);
    } finally {
      await session.close();
    }
    signal.throwIfAborted();
    // The database that still has the final name is somebody else's, and may be closed to sessions just now.
    return;
  }
}
