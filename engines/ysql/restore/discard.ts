import type { RestoreContext } from '../../engine.ts';
import { giveNameBack } from '../server/exchange-names.ts';
import { databaseExists, dropDatabase, withMaintenanceSession } from '../server/maintenance.ts';
import { leaveSealed } from '../server/sealed-restore.ts';
import { connectIfThere, readState } from './bookkeeping.ts';
import { closeRestoreSessions, dropOwnBookkeeping } from './close-sessions.ts';
import { type DatabaseJob, type RestoreJob, restoreJob } from './job.ts';
import { restoreTriggers } from './triggers.ts';
import { vouchedRecord } from './vouched-record.ts';

/**
 * Drops the databases under this restore's working names, which contain its id. A database that existed before keeps its
 * contents; only the bookkeeping is dropped, and triggers that were switched off get their state back. If the restore was sealed,
 * its databases are complete and stay. Returns one sentence for each remaining database.
 */
export async function discard(context: RestoreContext): Promise<readonly string[]> {
  const job = await restoreJob(context);
  const record = context.request.scratch ? undefined : await vouchedRecord(job);
  if (record !== undefined) {
    for (const database of job.databases) {
      await dropOwnBookkeeping(job, database);
    }
    return await leaveSealed(record, job);
  }
  const left: string[] = [];
  for (const database of job.databases) {
    await closeRestoreSessions(job, database);
    const dropped = await withMaintenanceSession(job, async (session) => {
      if (!(await databaseExists(session, database.names.working))) return false;
      await dropDatabase(job, session, database.names.working);
      await giveNameBack(session, database.names);
      return true;
    });
    if (!dropped && (await leaveExisting(job, database))) left.push(database.names.to);
  }
  return left.map(
    (name) =>
      `Database "${name}" was there before and stays, with what the restore had brought into it until then.`,
  );
}

/** Returns whether this restore had begun to write into a database that was there before. */
async function leaveExisting(job: RestoreJob, database: DatabaseJob): Promise<boolean> {
  const { target, context } = job;
  const { names } = database;
  const session = await connectIfThere({ target, names: [names.to], signal: context.signal });
  if (session === undefined) return false;
  try {
    if ((await readState(session))?.restore !== context.request.restore) return false;
    await restoreTriggers(session);
  } finally {
    await session.close();
  }
  await dropOwnBookkeeping(job, database);
  return true;
}
