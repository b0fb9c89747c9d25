import { crashPoint } from '../../../repository/crash-points.ts';
import { inTransaction, type Session } from '../server/session.ts';
import { closeIdle } from '../server/session-pool.ts';
import { threads } from '../thread-pool.ts';
import { connectIfThere, dropBookkeeping, readState, sessionKey, underRestore } from './bookkeeping.ts';
import { switchOn, unseenByEventTriggers } from './event-triggers.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';

/** Closes this process's idle sessions in the database under restore. */
export async function closeRestoreSessions(
  job: RestoreJob,
  database: Pick<DatabaseJob, 'names'>,
): Promise<void> {
  const key = sessionKey(underRestore(job, database));
  await Promise.all([
    closeIdle(key),
    threads.runInIdle({ kind: 'close', sessions: key }, { signal: job.context.signal }),
  ]);
}

/**
 * Drops the bookkeeping under whichever name the database has now, and switches on the event triggers of the backup. Leaves the
 * bookkeeping of another restore alone.
 */
export async function dropOwnBookkeeping(job: RestoreJob, database: DatabaseJob): Promise<void> {
  const { names } = database;
  const { signal, request } = job.context;
  await closeRestoreSessions(job, { names });
  for (const name of new Set([names.working, names.to])) {
    const session = await connectIfThere({ target: job.target, names: [name], signal });
    if (session === undefined) continue;
    try {
      const state = await readState(session);
      if (state?.restore === request.restore) await leaveBehind(job, database, session);
      // On YugabyteDB each schema change is separate, so an earlier attempt may have been interrupted between the two.
      else if (state === undefined && session.product === 'yugabytedb' && name === names.working) {
        await switchOn(job, database, session);
      }
    } finally {
      await session.close();
    }
    signal.throwIfAborted();
    // A database that still has the final name belongs to somebody else, and may be closed to sessions just now.
    return;
  }
}

/**
 * Makes the last schema changes of a restore. On PostgreSQL they are one transaction: either the bookkeeping is still there, or the event
 * triggers have their state.
 */
async function leaveBehind(job: RestoreJob, database: DatabaseJob, session: Session): Promise<void> {
  const leave = async () => {
    await unseenByEventTriggers(session, () => dropBookkeeping(session));
    crashPoint('finish-dropped');
    await switchOn(job, database, session);
  };
  await (session.product === 'yugabytedb' ? leave() : inTransaction(session, leave));
}
