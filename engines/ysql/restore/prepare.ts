import { permanent } from '../../../model/errors.ts';
import { crashPoint } from '../../../repository/crash-points.ts';
import type { RestoreContext } from '../../engine.ts';
import { inLockBudget, lockSlots } from '../lock-budget.ts';
import { sqlState } from '../server/errors.ts';
import { databaseExists, dropDatabase, withMaintenanceSession } from '../server/maintenance.ts';
import { refuseIfSealed } from '../server/sealed-restore.ts';
import { readServer } from '../server/server.ts';
import { inTransaction, type Session } from '../server/session.ts';
import { existingTablespaces } from '../server/tablespaces.ts';
import { applyEntries, readAdaptation } from './apply.ts';
import { connectUnderRestore, createBookkeeping, readState, setState, underRestore } from './bookkeeping.ts';
import { createStatement } from './database-script.ts';
import { unseenByEventTriggers } from './event-triggers.ts';
import { applyGlobals } from './globals.ts';
import { type DatabaseJob, type RestoreJob, restoreJob } from './job.ts';
import { createLargeObjects } from './large-objects.ts';
import { checkEmpty } from './plan.ts';
import { disableTriggers } from './triggers.ts';

/** Creates the databases under their working names and applies pre-data, once. */
export async function prepare(context: RestoreContext): Promise<void> {
  const job = await restoreJob(context);
  await refuseIfSealed(context, job);
  if (context.request.globals) await applyGlobals(job);
  for (const database of job.databases) {
    context.heartbeat({ database: database.names.to });
    await prepareDatabase(job, database);
  }
}

async function prepareDatabase(job: RestoreJob, database: DatabaseJob): Promise<void> {
  const { names } = database;
  const { signal } = job.context;
  const transactionalDdl = await withMaintenanceSession(job, async (session) => {
    const { product } = await readServer(session);
    const intoExisting =
      !job.withSchema || (!job.context.request.replace && (await databaseExists(session, names.to)));
    if (!intoExisting && !(await databaseExists(session, names.working)))
      await create(job, session, database);
    return product === 'postgresql';
  });
  for (;;) {
    const session = await connectUnderRestore(underRestore(job, database));
    try {
      const state = await readState(session);
      if (state?.prepared !== undefined && state.restore === job.context.request.restore) return;
      if (state === undefined) {
        // Somebody may have begun to use it since the plan.
        if (job.withSchema && session.database !== names.working)
          await checkEmpty(job, session.database, true);
        return await applyPreData(job, database, session, transactionalDdl);
      }
      if (session.database !== names.working) throw halfPrepared(session.database);
    } finally {
      await session.close();
    }
    // YugabyteDB keeps what an interrupted attempt created, so start with an empty database again.
    await withMaintenanceSession(job, async (session) => {
      await dropDatabase(job, session, names.working);
      await create(job, session, database);
    });
    signal.throwIfAborted();
  }
}

const DUPLICATE_DATABASE = '42P04';

async function create(job: RestoreJob, session: Session, database: DatabaseJob): Promise<void> {
  try {
    await session.query(
      `create database "${database.names.working}"`,
      createStatement(database, job.context.request.placement, await existingTablespaces(session)),
    );
  } catch (error) {
    // Another attempt of this step created it first.
    if (!(error instanceof Error) || sqlState(error.cause) !== DUPLICATE_DATABASE) throw error;
  }
  crashPoint('prepare-database');
}

async function applyPreData(
  job: RestoreJob,
  database: DatabaseJob,
  session: Session,
  transactionalDdl: boolean,
): Promise<void> {
  const { restore } = job.context.request;
  await createLargeObjects(job, database, session);
  const adaptation = await readAdaptation(job, database, session);
  const entries = job.withSchema ? database.preData.filter((entry) => database.selection.keeps(entry)) : [];
  const isWorking = session.database === database.names.working;
  // Whoever finds a half-prepared database under its working name drops it, so its entries need not share one transaction.
  const runs = transactionalDdl && isWorking ? inLockBudget(entries, await lockSlots(session)) : [entries];
  for (const [index, run] of runs.entries()) {
    const apply = async () => {
      if (index === 0) {
        await unseenByEventTriggers(session, async () => {
          await createBookkeeping(session, restore);
          await setState(session, 'origin', isWorking ? 'created' : 'existing');
          if (!job.withSchema) await disableTriggers(session, database);
        });
      }
      await applyEntries(session, run, adaptation);
      if (index === runs.length - 1) await setState(session, 'prepared', new Date().toISOString());
    };
    await (transactionalDdl ? inTransaction(session, apply) : apply());
  }
}

function halfPrepared(database: string): Error {
  return permanent(
    'RESTORE_HALF_PREPARED',
    `Database "${database}" holds what an interrupted restore began, and it is not ours to drop`,
    'Drop and create it again, or restore under a new name.',
  );
}
