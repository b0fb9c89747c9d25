import { formatAmount, formatCount } from '../../../model/amounts.ts';
import type { RestoreContext, RestoreOutcome } from '../../engine.ts';
import { whileBeating } from '../../heartbeat.ts';
import { sqlState } from '../errors.ts';
import { findScript, readScript } from '../scripts.ts';
import { connect, type Session } from '../session.ts';
import { type Statement, scriptParts } from '../sql-text.ts';
import { analyze, type Unanalyzed } from './analyze.ts';
import { readAdaptation } from './apply.ts';
import { dropBookkeeping, readState, withRestoreSession } from './bookkeeping.ts';
import { checkDatabase } from './check.ts';
import { propertyStatements } from './database-script.ts';
import { checkIndexes, INDEX_CHECK_MS, type IndexFindings } from './index-check.ts';
import { type DatabaseJob, type RestoreJob, restoreJob } from './job.ts';
import { describeLargeObjects } from './large-objects.ts';
import { databaseExists, withMaintenanceSession } from './maintenance.ts';
import { existingRoles, withoutMissingRoles } from './roles.ts';
import { type Exchange, takeFinalName } from './swap.ts';
import { restoreTriggers } from './triggers.ts';

/**
 * Sets sequences, analyzes, compares with the manifest; when all databases are as they should be, gives them their properties
 * and final names and removes the bookkeeping. With a difference everything stays under its working name.
 */
export async function finish(context: RestoreContext): Promise<RestoreOutcome> {
  const job = await restoreJob(context);
  return await whileBeating(context, async (tell) => {
    const problems: string[] = [];
    const remarks: string[] = [];
    let indexes = 0;
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
      const lend = <T>(work: (session: Session) => Promise<T>) => withRestoreSession(job, database, work);
      const [unanalyzed, differences] = await Promise.all([
        analyze(lend, context.signal),
        checkDatabase(job, database),
      ]);
      problems.push(...differences);
      if (unanalyzed !== undefined) remarks.push(withoutStatistics(database, unanalyzed));
      const looked = await lookAtIndexes(job, database);
      indexes += looked.checked;
      problems.push(...looked.broken);
      remarks.push(...looked.unknown);
    }
    if (problems.length === 0) for (const database of open) remarks.push(...(await complete(job, database)));
    return await outcome(job, { problems, remarks, indexes });
  });
}

const MOST_NAMED = 5;

function withoutStatistics({ names }: DatabaseJob, { relations, reason }: Unanalyzed): string {
  const more = relations.length > MOST_NAMED ? ` and ${relations.length - MOST_NAMED} more` : '';
  return `Database "${names.to}" is without statistics of ${relations.slice(0, MOST_NAMED).join(', ')}${more}: ${reason}. Run ANALYZE there`;
}

/** Only where content is compared, which reads everything once more anyway. */
async function lookAtIndexes(job: RestoreJob, database: DatabaseJob): Promise<IndexFindings> {
  const { request, signal } = job.context;
  const limitMs = request.indexCheckMs ?? (request.check === 'content' ? INDEX_CHECK_MS : 0);
  if (limitMs === 0 || !job.withData) return { checked: 0, broken: [], unknown: [] };
  const { origin } = (await withRestoreSession(job, database, readState)) ?? {};
  return await checkIndexes((work) => withRestoreSession(job, database, work), {
    signal,
    lanes: request.parallelism,
    limitMs,
    mayCreate: origin === 'created',
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

const STATEMENTS_AT_ONCE = 200;

async function setSequences(job: RestoreJob, database: DatabaseJob): Promise<void> {
  const object = findScript(database.manifest.schemaObjects, 'sequences');
  if (object === undefined || !job.withData) return;
  const script = await readScript(job.context, object);
  const statements = [...scriptParts(script)].flatMap((part) =>
    part.kind === 'statement' ? [part.statement] : [],
  );
  await withRestoreSession(job, database, async (session) => {
    const wanted =
      database.selection.all && job.withSchema ? statements : await ofExisting(session, statements);
    for (let at = 0; at < wanted.length; at += STATEMENTS_AT_ONCE) {
      const some = wanted.slice(at, at + STATEMENTS_AT_ONCE);
      await session.query('set the sequences', some.map(({ text }) => text).join('\n'));
    }
  });
}

/** Sequences of tables that were not selected are not there. */
async function ofExisting(session: Session, statements: readonly Statement[]): Promise<readonly Statement[]> {
  const names = statements.map(({ tokens }) => tokens.find(({ kind }) => kind === 'string')?.text ?? "''");
  const existing: Statement[] = [];
  for (const [index, statement] of statements.entries()) {
    const [row] = await session.query<{ there: boolean }>(
      'look for a sequence',
      `SELECT to_regclass(${names[index]}) IS NOT NULL AS there`,
    );
    if (row?.there === true) existing.push(statement);
  }
  return existing;
}

async function complete(job: RestoreJob, database: DatabaseJob): Promise<readonly string[]> {
  const state = await withRestoreSession(job, database, readState);
  if (!job.withSchema) await withRestoreSession(job, database, restoreTriggers);
  const exchange: Exchange = job.context.request.scratch ? {} : await takeFinalName(job, database);
  if (state?.origin === 'created') await applyProperties(job, database);
  await withRestoreSession(job, database, dropBookkeeping);
  return exchange.remarks ?? [];
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

interface Findings {
  readonly problems: readonly string[];
  readonly remarks: readonly string[];
  /** How many were compared with their tables. */
  readonly indexes: number;
}

async function outcome(job: RestoreJob, { problems, remarks, indexes }: Findings): Promise<RestoreOutcome> {
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
  const compared = describeComparison(job, tables.length, indexes);
  const said = remarks.length === 0 ? {} : { remarks };
  return { databases, rows, tables: tables.length, problems, compared, ...said };
}

/** What a verdict speaks of: OK is never more than this. */
function describeComparison({ withData, context }: RestoreJob, tables: number, indexes: number): string {
  if (!withData) return 'nothing: schema only';
  const what = context.request.check === 'content' ? 'content' : 'counts';
  const also = indexes === 0 ? '' : `, ${formatCount(indexes)} ${indexes === 1 ? 'index' : 'indexes'}`;
  return `${what} of ${formatAmount(tables, 'table')}${also}`;
}
