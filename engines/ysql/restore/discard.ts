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
 * Drops the databases that stand under this restore's working names, which hold its id. A database that existed before keeps what
 * is in it; only the bookkeeping goes, and switched-off triggers get their state back. What a restore that was sealed has brought
 * back is complete and stays. Returns what stands, a sentence each.
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
