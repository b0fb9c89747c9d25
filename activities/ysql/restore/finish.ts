import { formatAmount, formatCount } from '../../../model/amounts.ts';
import type { RestoreRecord } from '../../../repository/restore-records.ts';
import type { RestoreContext, RestoreOutcome } from '../../engine.ts';
import { whileBeating } from '../../heartbeat.ts';
import { findScript, readScript } from '../scripts.ts';
import type { Session } from '../session.ts';
import { type Statement, scriptParts } from '../sql-text.ts';
import { analyze, type Unanalyzed } from './analyze.ts';
import { readAdaptation } from './apply.ts';
import { connectIfThere, dropOwnBookkeeping, readState, withRestoreSession } from './bookkeeping.ts';
import { checkDatabase } from './check.ts';
import { propertyStatements } from './database-script.ts';
import { staysBehind } from './in-the-way.ts';
import { checkIndexes, INDEX_CHECK_MS, type IndexFindings } from './index-check.ts';
import { type DatabaseJob, type RestoreJob, restoreJob } from './job.ts';
import { describeLargeObjects } from './large-objects.ts';
import { databaseExists, withMaintenanceSession } from './maintenance.ts';
import { existingRoles, rolesWithSettings, withoutMissingRoles } from './roles.ts';
import { recordOf, seal } from './seal.ts';
import { exchangeNames } from './swap.ts';
import { restoreTriggers } from './triggers.ts';

/**
 * Sets sequences, analyzes, compares with the manifest. With a difference everything stays under its working name. Else the
 * databases get their properties, while nobody knows their names yet, so that whatever can fail has been tried; then the restore is
 * sealed (`repository/restore-records.ts`), and after that only bookkeeping goes and names change.
 */
export async function finish(context: RestoreContext): Promise<RestoreOutcome> {
  const job = await restoreJob(context);
  return await whileBeating(context, async (tell) => {
    if (context.request.scratch) return await finishScratch(job, tell);
    let record = await recordOf(context);
    if (record === undefined) {
      const found = await compareAll(job, job.databases, tell);
      if (found.problems.length > 0) return await outcome(job, found);
      const created: string[] = [];
      for (const database of job.databases) {
        if (await complete(job, database)) created.push(database.names.to);
      }
      record = await seal(context, job, {
        replace: context.request.replace,
        created,
        compared: describeComparison(job, found.indexes),
        notes: found.notes,
      });
    }
    const notes = [...(record.notes ?? []), ...(await notesOn(job, record))];
    for (const database of job.databases) await dropOwnBookkeeping(job, database);
    notes.push(...(await exchangeNames(job, context.request.replace)));
    for (const database of job.databases) await limitConnections(job, database);
    return await outcome(job, { problems: [], notes, compared: record.compared });
  });
}

/** A rehearsal keeps its working names and gets no properties: they would turn on whoever asks the copy, or drops it. */
async function finishScratch(job: RestoreJob, tell: Tell): Promise<RestoreOutcome> {
  const open: DatabaseJob[] = [];
  for (const database of job.databases) if (!(await isFinished(job, database))) open.push(database);
  const found = await compareAll(job, open, tell);
  if (found.problems.length === 0) for (const database of open) await dropOwnBookkeeping(job, database);
  return await outcome(job, found);
}

type Tell = (progress: Readonly<Record<string, string | number>>) => void;

/** What comparing databases with the manifest, and indexes with their tables, found. */
interface Findings {
  readonly problems: readonly string[];
  /** What could not be compared or done and is no difference, a sentence each. */
  readonly notes: readonly string[];
  /** Indexes that were compared. */
  readonly indexes: number;
}

async function compareAll(job: RestoreJob, databases: readonly DatabaseJob[], tell: Tell): Promise<Findings> {
  const problems: string[] = [];
  const notes: string[] = [];
  let indexes = 0;
  for (const database of databases) {
    const found = await compare(job, database, tell);
    problems.push(...found.problems);
    notes.push(...found.notes);
    indexes += found.indexes;
  }
  return { problems, notes, indexes };
}

const MOST_NAMED = 5;

function withoutStatistics({ names }: DatabaseJob, { relations, reason }: Unanalyzed): string {
  const more = relations.length > MOST_NAMED ? ` and ${relations.length - MOST_NAMED} more` : '';
  return `Database "${names.to}" is without statistics of ${relations.slice(0, MOST_NAMED).join(', ')}${more}: ${reason}. Run ANALYZE there.`;
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

async function compare(job: RestoreJob, database: DatabaseJob, tell: Tell): Promise<Findings> {
  tell({ database: database.names.to });
  await setSequences(job, database);
  await withRestoreSession(job, database, async (session) => {
    await describeLargeObjects(job, database, session, await readAdaptation(job, database, session));
  });
  // Side by side: ANALYZE is one session, and the comparison reads other tables meanwhile.
  const lend = <T>(work: (session: Session) => Promise<T>) => withRestoreSession(job, database, work);
  const [unanalyzed, differences] = await Promise.all([
    analyze(lend, job.context.signal),
    checkDatabase(job, database),
  ]);
  const looked = await lookAtIndexes(job, database);
  return {
    problems: [...differences, ...looked.broken],
    notes: [
      ...(unanalyzed === undefined ? [] : [withoutStatistics(database, unanalyzed)]),
      ...looked.unknown,
    ],
    indexes: looked.checked,
  };
}

/** True when an earlier attempt came to its end: the database of the rehearsal is there and bears no bookkeeping. */
async function isFinished(job: RestoreJob, { names }: DatabaseJob): Promise<boolean> {
  const session = await connectIfThere(job, names.working);
  if (session === undefined) return false;
  try {
    return (await readState(session)) === undefined;
  } finally {
    await session.close();
  }
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

/** Everything that a finished database has and that can fail, under its working name. Returns whether this restore created it. */
async function complete(job: RestoreJob, database: DatabaseJob): Promise<boolean> {
  const state = await withRestoreSession(job, database, readState);
  if (!job.withSchema) await withRestoreSession(job, database, restoreTriggers);
  if (state?.origin !== 'created') return false;
  await applyProperties(job, database);
  return true;
}

/** Owner, settings, comment and grants of the database itself. Our own sessions pin what such settings would change. */
async function applyProperties(job: RestoreJob, database: DatabaseJob): Promise<void> {
  const { owner } = job.context.request;
  await withMaintenanceSession(job, async (session) => {
    const roles = await existingRoles(session);
    const entries =
      owner === undefined
        ? database.database
        : database.database.map((entry) => ({ ...entry, statements: withoutMissingRoles(entry, roles) }));
    const statements = propertyStatements({ ...database, database: entries }, database.names.working, owner);
    for (const { entry, text } of statements.filter(({ text }) => !limitsUse(text))) {
      await session.query(`apply ${entry.type} ${entry.name}`, text);
    }
  });
}

/** What would keep this restore itself from connecting or renaming comes at the very end. */
async function limitConnections(job: RestoreJob, database: DatabaseJob): Promise<void> {
  const record = await recordOf(job.context);
  const isOurs = record?.databases.some(({ to, created }) => to === database.names.to && created === true);
  if (isOurs !== true) return;
  await withMaintenanceSession(job, async (session) => {
    for (const { entry, text } of propertyStatements(database, database.names.to, undefined)) {
      if (limitsUse(text)) await session.query(`apply ${entry.type} ${entry.name}`, text);
    }
  });
}

/** `ALTER DATABASE … CONNECTION LIMIT`, `… IS_TEMPLATE`, `… ALLOW_CONNECTIONS`: settings of use, as pg_dump writes them. */
function limitsUse(text: string): boolean {
  return /^\s*ALTER DATABASE .* (?:CONNECTION LIMIT|IS_TEMPLATE|ALLOW_CONNECTIONS) ?= ?\S+;?\s*$/is.test(
    text,
  );
}

/** What the operator must know of the databases that are replaced, and of settings that found no role. */
async function notesOn(job: RestoreJob, record: RestoreRecord): Promise<readonly string[]> {
  return await withMaintenanceSession(job, async (session) => {
    const roles = await existingRoles(session);
    const notes: string[] = [];
    for (const { to, working, kept } of record.databases) {
      const isPending = await databaseExists(session, working);
      if (kept !== undefined) notes.push(...(await staysBehind(session, isPending ? to : kept, kept)));
    }
    if (job.context.request.owner === undefined) return notes;
    for (const { database, names } of job.databases) {
      for (const role of rolesWithSettings(database).filter((name) => !roles.has(name))) {
        notes.push(
          `Settings of role ${role} in database "${names.to}" are left out: this server has no such role.`,
        );
      }
    }
    return notes;
  });
}

async function outcome(
  job: RestoreJob,
  found: Pick<Findings, 'problems' | 'notes'> &
    Partial<Findings> & { readonly compared?: string | undefined },
): Promise<RestoreOutcome> {
  const { problems, notes } = found;
  const compared = found.indexes === undefined ? found.compared : describeComparison(job, found.indexes);
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
  return {
    databases,
    rows,
    tables: tables.length,
    problems,
    ...(compared === undefined ? {} : { compared }),
    ...(notes.length === 0 ? {} : { notes }),
  };
}

/** What a verdict speaks of: OK is never more than this. */
function describeComparison({ withData, context, databases }: RestoreJob, indexes: number): string {
  if (!withData) return 'nothing: schema only';
  const tables = databases.reduce(
    (sum, { manifest, selection }) => sum + manifest.tables.filter(selection.includes).length,
    0,
  );
  const what = context.request.check === 'content' ? 'content' : 'counts';
  const also = indexes === 0 ? '' : `, ${formatCount(indexes)} ${indexes === 1 ? 'index' : 'indexes'}`;
  return `${what} of ${formatAmount(tables, 'table')}${also}`;
}
