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
  for (const database of job.databases) {
    await closeRestoreSessions(job, database);
    const dropped = await withMaintenanceSession(job, async (session) => {
      if (!(await databaseExists(session, database.names.working))) return false;
      await dropDatabase(job, session, database.names.working);
      await giveNameBack(session, database.names);
      return true;
    });
    if (!dropped) await leaveExisting(job, database);
  }
  return [];
}

async function leaveExisting(job: RestoreJob, database: DatabaseJob): Promise<void> {
  const { target, context } = job;
  const { names } = database;
  const session = await connectIfThere({ target, names: [names.to], signal: context.signal });
  if (session === undefined) return;
  try {
    if ((await readState(session))?.restore !== context.request.restore) return;
    await restoreTriggers(session);
  } finally {
    await session.close();
  }
  await dropOwnBookkeeping(job, database);
}
