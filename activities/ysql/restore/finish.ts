import type { RestoreContext, RestoreOutcome } from '../../engine.ts';
import { whileBeating } from '../../heartbeat.ts';
import { sqlState } from '../errors.ts';
import { connect, type Session } from '../session.ts';
import { analyze } from './analyze.ts';
import { readAdaptation } from './apply.ts';
import { dropBookkeeping, readState, withRestoreSession } from './bookkeeping.ts';
import { checkDatabase } from './check.ts';
import { propertyStatements } from './database-script.ts';
import { type DatabaseJob, type RestoreJob, restoreJob } from './job.ts';
import { describeLargeObjects } from './large-objects.ts';
import { databaseExists, withMaintenanceSession } from './maintenance.ts';
import { existingRoles, withoutMissingRoles } from './roles.ts';
import { setSequences } from './sequences.ts';
import { takeFinalName } from './swap.ts';
import { restoreTriggers } from './triggers.ts';

/**
 * Sets sequences, analyzes, compares with the manifest; when all databases are as they should be, gives them their properties
 * and final names and removes the bookkeeping. With a difference everything stays under its working name.
 */
export async function finish(context: RestoreContext): Promise<RestoreOutcome> {
  const job = await restoreJob(context);
  return await whileBeating(context, async (tell) => {
    const problems: string[] = [];
    const open: DatabaseJob[] = [];
    for (const database of job.databases) {
      tell({ database: database.names.to });
      if (await isFinished(job, database)) continue;
      open.push(database);
      await setSequences(job, database);
      await withRestoreSession(job, database, async (session) => {
        await describeLargeObjects(job, database, session, await readAdaptation(job, database, session));
      });
      // Side by side: ANALYZE is one session, and the comparison reads other tables meanwhile.
      const [, differences] = await Promise.all([
        withRestoreSession(job, database, analyze),
        checkDatabase(job, database),
      ]);
      problems.push(...differences);
    }
    if (problems.length === 0) for (const database of open) await complete(job, database);
    return await outcome(job, problems);
  });
}

const NO_SUCH_DATABASE = '3D000';

/** True when an earlier attempt came to its end: the working name is gone, and the final one bears no bookkeeping. */
async function isFinished(job: RestoreJob, { names }: DatabaseJob): Promise<boolean> {
  const { signal } = job.context;
  for (const name of new Set([names.working, names.to])) {
    let session: Session;
    try {
      session = await connect(job.target, name, signal);
    } catch (error) {
      if (!(error instanceof Error) || sqlState(error.cause) !== NO_SUCH_DATABASE) throw error;
      continue;
    }
    try {
      return (await readState(session)) === undefined;
    } finally {
      await session.close();
    }
  }
  return false;
}

async function complete(job: RestoreJob, database: DatabaseJob): Promise<void> {
  const state = await withRestoreSession(job, database, readState);
  if (!job.withSchema) await withRestoreSession(job, database, restoreTriggers);
  if (!job.context.request.scratch) await takeFinalName(job, database);
  if (state?.origin === 'created') await applyProperties(job, database);
  await withRestoreSession(job, database, dropBookkeeping);
}

/** Owner, settings, comment and grants of the database itself; last, since settings would bear on the restore. */
async function applyProperties(job: RestoreJob, database: DatabaseJob): Promise<void> {
  const { owner } = job.context.request;
  await withMaintenanceSession(job, async (session) => {
    const roles = await existingRoles(session);
    const entries =
      owner === undefined
        ? database.database
        : database.database.map((entry) => ({ ...entry, statements: withoutMissingRoles(entry, roles) }));
    for (const { entry, text } of propertyStatements(
      { ...database, database: entries },
      database.names.to,
      owner,
    )) {
      await session.query(`apply ${entry.type} ${entry.name}`, text);
    }
  });
}

async function outcome(job: RestoreJob, problems: readonly string[]): Promise<RestoreOutcome> {
  const tables = job.databases.flatMap(({ manifest, selection }) =>
    manifest.tables.filter((table) => selection.includes(table)),
  );
  const databases = await withMaintenanceSession(job, async (session) => {
    const results: RestoreOutcome['databases'][number][] = [];
    for (const { names } of job.databases) {
      const kept = (await databaseExists(session, names.kept)) ? { kept: names.kept } : {};
      const to =
        problems.length === 0 || !(await databaseExists(session, names.working)) ? names.to : names.working;
      results.push({ from: names.from, to, ...kept });
    }
    return results;
  });
  const rows = job.withData ? tables.reduce((sum, table) => sum + table.rows, 0) : 0;
  return { databases, rows, tables: tables.length, problems };
}
