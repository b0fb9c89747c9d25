import type { LeftOut } from '../../../model/backup.ts';
import type { FinishOptions, RestoreContext, RestoreOutcome } from '../../engine.ts';
import { whileBeating } from '../../heartbeat.ts';
import { sqlState } from '../errors.ts';
import { connect, type Session } from '../session.ts';
import { analyze } from './analyze.ts';
import { readAdaptation } from './apply.ts';
import {
  appliedUnits,
  dropBookkeeping,
  loadedObjects,
  readState,
  withRestoreSession,
} from './bookkeeping.ts';
import { checkDatabase } from './check.ts';
import { propertyStatements } from './database-script.ts';
import { isRefusal } from './forgiving.ts';
import { type DatabaseJob, type RestoreJob, restoreJob, selectedObjects } from './job.ts';
import { describeLargeObjects } from './large-objects.ts';
import { noteLeftOut, readLeftOut } from './left-out.ts';
import { databaseExists, withMaintenanceSession } from './maintenance.ts';
import { existingRoles, withoutMissingRoles } from './roles.ts';
import { setSequences } from './sequences.ts';
import { takeFinalName } from './swap.ts';
import { restoreTriggers } from './triggers.ts';
import { postDataWaves } from './waves.ts';

/**
 * Sets sequences, analyzes, compares with the manifest; when all databases are as they should be, gives them their properties
 * and final names and removes the bookkeeping. With a difference everything stays under its working name, unless the request says
 * that it shall take its final one.
 */
export async function finish(
  context: RestoreContext,
  { keepsRecord = false }: FinishOptions = {},
): Promise<RestoreOutcome> {
  const job = await restoreJob(context);
  const { tolerate = false, takeName = false } = context.request;
  return await whileBeating(context, async (tell) => {
    const problems: string[] = [];
    const leftOut: LeftOut[] = [];
    const open: DatabaseJob[] = [];
    for (const database of job.databases) {
      tell({ database: database.names.to });
      // With the record an earlier attempt's end is told again, and nothing of it hurts twice.
      if (!keepsRecord && (await isFinished(job, database))) continue;
      open.push(database);
      await setSequences(job, database);
      await withRestoreSession(job, database, async (session) => {
        const adaptation = await readAdaptation(job, database, session);
        await leaveOut(job, database, { kind: 'BLOB', name: 'owners and privileges of large objects' }, () =>
          describeLargeObjects(job, database, session, adaptation),
        );
      });
      // Side by side: ANALYZE is one session, and the comparison reads other tables meanwhile.
      const [, differences] = await Promise.all([
        leaveOut(job, database, { kind: 'STATISTICS', name: 'of the planner' }, () =>
          withRestoreSession(job, database, analyze),
        ),
        checkDatabase(job, database),
      ]);
      problems.push(...differences, ...(await unappliedWork(job, database)));
      leftOut.push(...(await leftOutOf(job, database)));
    }
    const isWhole = problems.length === 0 && !leftOut.some(({ because }) => because === 'error');
    const loaded = tolerate && keepsRecord ? await loadedOf(job) : undefined;
    for (const database of open) {
      if (isWhole || (tolerate && takeName)) await complete(job, database, keepsRecord);
      else if (tolerate) await applyOwnProperties(job, database);
    }
    const told = keepsRecord ? (await Promise.all(open.map((each) => leftOutOf(job, each)))).flat() : leftOut;
    const whole = await outcome(job, problems);
    return { ...whole, ...loaded, ...(told.length === 0 ? {} : { leftOut: told }) };
  });
}

/** Removes the record of what was left out, where `finish` has kept it. */
export async function release(context: RestoreContext): Promise<void> {
  const job = await restoreJob(context);
  for (const database of job.databases) {
    if (!(await isFinished(job, database))) await withRestoreSession(job, database, dropBookkeeping);
  }
}

/** What one database lacks; where there are several, each name says which it is of. */
async function leftOutOf(job: RestoreJob, database: DatabaseJob): Promise<readonly LeftOut[]> {
  const items = await withRestoreSession(job, database, readLeftOut);
  if (job.databases.length === 1) return items;
  return items.map((item) => ({ ...item, name: `${database.names.from}: ${item.name}` }));
}

/** What came in, where something may be missing. */
async function loadedOf(job: RestoreJob): Promise<Pick<RestoreOutcome, 'rows' | 'bytes'>> {
  const keys = new Set<string>();
  for (const database of job.databases) {
    const loaded = await withRestoreSession(job, database, loadedObjects);
    for (const key of loaded) keys.add(key);
  }
  const objects = (await selectedObjects(job)).filter(({ key }) => keys.has(key));
  return {
    rows: objects.reduce((sum, { rows }) => sum + rows, 0),
    bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** A worker of another version may have planned other work: what is not applied is told, whatever the rows say. */
async function unappliedWork(job: RestoreJob, database: DatabaseJob): Promise<readonly string[]> {
  const units = postDataWaves(job).flat(2);
  const wanted = units.filter((unit) => unit.database === database && unit.entries.length > 0);
  const applied = await withRestoreSession(job, database, appliedUnits);
  const open = wanted.filter(({ id }) => !applied.has(id)).flatMap(({ entries }) => entries);
  if (open.length === 0) return [];
  const some = open.slice(0, 5).map(({ type, name }) => `${type} ${name}`);
  return [
    `${open.length} objects were not created: ${some.join(', ')}${open.length > some.length ? ' …' : ''}`,
  ];
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

async function complete(job: RestoreJob, database: DatabaseJob, keepsRecord: boolean): Promise<void> {
  const state = await withRestoreSession(job, database, readState);
  if (!job.withSchema) await withRestoreSession(job, database, restoreTriggers);
  if (!job.context.request.scratch) await takeFinalName(job, database);
  if (state?.origin === 'created') await applyProperties(job, database, database.names.to);
  if (!keepsRecord) await withRestoreSession(job, database, dropBookkeeping);
}

/** Of a database that keeps its working name. */
async function applyOwnProperties(job: RestoreJob, database: DatabaseJob): Promise<void> {
  const state = await withRestoreSession(job, database, readState);
  if (state?.origin === 'created') await applyProperties(job, database, database.names.working);
}

/** Does `work`; where the restore tolerates what the server refuses, that is noted. */
async function leaveOut(
  job: RestoreJob,
  database: DatabaseJob,
  item: Pick<LeftOut, 'kind' | 'name'> & { readonly sql?: string },
  work: () => Promise<unknown>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (job.context.request.tolerate !== true || !isRefusal(error)) throw error;
    await withRestoreSession(job, database, (session) =>
      noteLeftOut(session, { sql: '', ...item, error: error.message, because: 'error' }),
    );
  }
}

/** Owner, settings, comment and grants of the database itself; last, since settings would bear on the restore. */
async function applyProperties(job: RestoreJob, database: DatabaseJob, name: string): Promise<void> {
  const { owner } = job.context.request;
  await withMaintenanceSession(job, async (session) => {
    const roles = await existingRoles(session);
    const entries =
      owner === undefined
        ? database.database
        : database.database.map((entry) => ({ ...entry, statements: withoutMissingRoles(entry, roles) }));
    for (const { entry, text } of propertyStatements({ ...database, database: entries }, name, owner)) {
      await leaveOut(job, database, { kind: entry.type, name: entry.name, sql: text }, () =>
        session.query(`apply ${entry.type} ${entry.name}`, text),
      );
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
      const to = (await databaseExists(session, names.working)) ? names.working : names.to;
      results.push({ from: names.from, to, ...kept });
    }
    return results;
  });
  const rows = job.withData ? tables.reduce((sum, table) => sum + table.rows, 0) : 0;
  const bytes = (await selectedObjects(job)).reduce((sum, object) => sum + object.bytes, 0);
  return { databases, rows, bytes, tables: tables.length, problems };
}
