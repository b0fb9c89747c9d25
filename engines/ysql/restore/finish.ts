import { formatAmount, formatCount } from '../../../model/amounts.ts';
import type { LeftOut } from '../../../model/backup.ts';
import { defined } from '../../../model/defined.ts';
import { permanent } from '../../../model/errors.ts';
import type { ReplayReport } from '../../../model/replay.ts';
import { crashPoint } from '../../../repository/crash-points.ts';
import type { RestoreRecord } from '../../../repository/restore-records.ts';
import type { RestoreContext, RestoreOutcome } from '../../engine.ts';
import { exchangeNames } from '../server/exchange-names.ts';
import { checkIndexes, INDEX_CHECK_MS, type IndexFindings } from '../server/index-check.ts';
import { databaseExists, withMaintenanceSession } from '../server/maintenance.ts';
import { existingRoles, withoutMissingRoles } from '../server/roles.ts';
import type { Session } from '../server/session.ts';
import { analyze, type Unanalyzed } from './analyze.ts';
import { readAdaptation } from './apply.ts';
import { connectIfThere, readState, withRestoreSession } from './bookkeeping.ts';
import { checkDatabase, checkReplayed, comparedAsWhole } from './check.ts';
import { dropOwnBookkeeping } from './close-sessions.ts';
import { propertyStatements } from './database-script.ts';
import { brokenForeignKeys } from './foreign-keys.ts';
import { leaveOut, leftOutOf, loadedOf, unappliedWork } from './incomplete.ts';
import { type DatabaseJob, type RestoreJob, restoreJob, selectedObjects } from './job.ts';
import { describeLargeObjects } from './large-objects.ts';
import { notesOn } from './notes.ts';
import { checkProof } from './prove.ts';
import { raiseSequences } from './raise-sequences.ts';
import { readReport } from './replay.ts';
import { describeProof, describeReplayed, notesOnReplay } from './replay-text.ts';
import { comparedSchema } from './schema-check.ts';
import { setSequences } from './sequences.ts';
import { restoreTriggers } from './triggers.ts';
import { sealVouched, vouchedRecord } from './vouched-record.ts';

/**
 * Sets sequences, gathers statistics and compares the databases with the manifest. With a difference, or an object left out because of
 * an error, the databases keep their working names, unless the request says that they take their final ones (`takeName`). Otherwise
 * the databases first get their properties, under names that nobody knows yet, so that everything that can fail has been tried. Then
 * the restore is sealed (`repository/restore-records.ts`). After that it only drops the bookkeeping and changes names.
 */
export async function finish(context: RestoreContext): Promise<RestoreOutcome> {
  const job = await restoreJob(context);
  if (context.request.scratch) return await finishScratch(job);
  let record = await vouchedRecord(job);
  if (record === undefined) {
    const found = await compareAll(job, job.databases);
    const { tolerate = false, takeName = false } = context.request;
    const isWhole = found.problems.length === 0 && !found.leftOut.some(({ because }) => because === 'error');
    if (!isWhole && !tolerate) return await outcome(job, found);
    const created: string[] = [];
    for (const database of job.databases) {
      if (await complete(job, database)) created.push(database.names.to);
    }
    // The bookkeeping stays until `release`, so that a later attempt reports the same result.
    const result = {
      ...(await resultOf(job)),
      problems: found.problems,
      leftOut: await leftOutOf(job),
      ...unclearIf(found.replays),
    };
    if (!isWhole && !takeName) return { ...(await outcome(job, found)), ...result };
    record = await sealVouched(job, {
      replace: context.request.replace,
      created,
      compared: describeComparison(job, found),
      notes: found.notes,
      result,
    });
  }
  crashPoint('finish-sealed');
  const notes = [...(record.notes ?? []), ...(await notesOn(job, record))];
  for (const database of job.databases) await dropOwnBookkeeping(job, database);
  notes.push(...(await exchangeNames(job, context.request.replace)));
  crashPoint('exchange-done');
  for (const database of job.databases) await limitConnections(job, record, database);
  const whole = await outcome(job, { problems: [], notes, compared: record.compared });
  return { ...whole, ...record.result };
}

/**
 * Finishes a scratch restore. Its databases keep their working names and don't get the properties of the originals, which would affect
 * whoever queries or drops them.
 */
async function finishScratch(job: RestoreJob): Promise<RestoreOutcome> {
  const open: DatabaseJob[] = [];
  for (const database of job.databases) if (!(await isFinished(job, database))) open.push(database);
  const found = await compareAll(job, open);
  const isWhole = found.problems.length === 0 && found.leftOut.length === 0;
  if (isWhole) for (const database of open) await dropOwnBookkeeping(job, database);
  return {
    ...(await outcome(job, found)),
    ...(found.leftOut.length === 0 ? {} : { leftOut: found.leftOut }),
  };
}

/** Removes the bookkeeping of a restore that ended without restoring everything. May be called again. */
export async function release(context: RestoreContext): Promise<void> {
  const job = await restoreJob(context);
  for (const database of job.databases) await dropOwnBookkeeping(job, database);
}

/** Counts the restored rows and bytes: those of the selection, or for a tolerant restore those that were loaded. */
async function resultOf(job: RestoreJob): Promise<{ readonly rows: number; readonly bytes: number }> {
  if (job.context.request.tolerate === true) return await loadedOf(job);
  const objects = await selectedObjects(job);
  return {
    rows: objects.reduce((sum, { rows }) => sum + rows, 0),
    bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** The result of comparing databases with the manifest, and indexes with their tables. */
interface Findings {
  readonly problems: readonly string[];
  /** What could not be compared or done but is no difference, one sentence each. */
  readonly notes: readonly string[];
  /** Number of indexes that were compared. */
  readonly indexes: number;
  readonly leftOut: readonly LeftOut[];
  /** What was replayed, one report per database; empty when the request asks for no replay. */
  readonly replays: readonly ReplayReport[];
  /** Number of tables that were compared with the later backup of a proof. */
  readonly proved: number;
}

async function compareAll(job: RestoreJob, databases: readonly DatabaseJob[]): Promise<Findings> {
  const problems: string[] = [];
  const notes: string[] = [];
  const replays: ReplayReport[] = [];
  let indexes = 0;
  let proved = 0;
  for (const database of databases) {
    const found = await compare(job, database);
    problems.push(...found.problems);
    notes.push(...found.notes);
    replays.push(...found.replays);
    indexes += found.indexes;
    proved += found.proved;
  }
  return { problems, notes, indexes, replays, proved, leftOut: await leftOutOf(job, databases) };
}

const MAX_NAMED = 5;

function withoutStatistics({ names }: DatabaseJob, { relations, reason }: Unanalyzed): string {
  const more = relations.length > MAX_NAMED ? ` and ${relations.length - MAX_NAMED} more` : '';
  return `Database "${names.to}" is without statistics of ${relations.slice(0, MAX_NAMED).join(', ')}${more}: ${reason}. Run ANALYZE there.`;
}

/** Checks the indexes. By default only when content is compared, which reads everything once more anyway. */
async function lookAtIndexes(job: RestoreJob, database: DatabaseJob): Promise<IndexFindings> {
  const { request, signal } = job.context;
  const limitMs = request.indexCheckMs ?? (request.check === 'content' ? INDEX_CHECK_MS : 0);
  if (limitMs === 0 || !job.withData) return { checked: 0, broken: [], unknown: [] };
  const { origin } = (await withRestoreSession(job, database, readState)) ?? {};
  return await checkIndexes((work) => withRestoreSession(job, database, work), {
    signal,
    parallelism: request.parallelism,
    limitMs,
    mayCreate: origin === 'created',
  });
}

async function compare(job: RestoreJob, database: DatabaseJob): Promise<Omit<Findings, 'leftOut'>> {
  job.context.heartbeat({ database: database.names.to });
  await setSequences(job, database);
  await withRestoreSession(job, database, async (session) => {
    const adaptation = await readAdaptation(job, database, session);
    await leaveOut(job, database, { kind: 'BLOB', name: 'owners and privileges of large objects' }, () =>
      describeLargeObjects(job, database, session, adaptation),
    );
  });
  const report = job.context.request.replay === undefined ? undefined : await requireReport(job, database);
  if (report !== undefined && job.withData) {
    await withRestoreSession(job, database, (session) => raiseSequences(session, report.sequences));
  }
  // Both run at once: ANALYZE uses one session, and the comparison reads other tables meanwhile.
  const lend = <T>(work: (session: Session) => Promise<T>) => withRestoreSession(job, database, work);
  const [unanalyzed, found] = await Promise.all([
    analyze(lend, job.context.signal),
    compareRows(job, database, report),
  ]);
  const { differences } = found;
  const looked = await lookAtIndexes(job, database);
  return {
    problems: [
      ...differences,
      ...(await unappliedWork(job, database)),
      ...(await brokenForeignKeys(job, database)),
      ...looked.broken,
    ],
    notes: [
      ...(report === undefined ? [] : notesOnReplay(database, report)),
      ...(unanalyzed === undefined ? [] : [withoutStatistics(database, unanalyzed)]),
      ...looked.unknown,
    ],
    indexes: looked.checked,
    replays: report === undefined ? [] : [report],
    proved: found.proved,
  };
}

/** Compares rows with the manifest. After a replay it compares them with manifest and replay together, and for a proof also with a later backup. */
async function compareRows(
  job: RestoreJob,
  database: DatabaseJob,
  report: ReplayReport | undefined,
): Promise<{ readonly differences: readonly string[]; readonly proved: number }> {
  if (report === undefined) return { differences: await checkDatabase(job, database), proved: 0 };
  const differences = await checkReplayed(job, database);
  const proves = job.context.request.replay?.proves;
  if (proves === undefined) return { differences, proved: 0 };
  const proof = await checkProof(job, database, proves, report.notArchived);
  return { differences: [...differences, ...proof.differences], proved: proof.compared };
}

/** Tables without archived changes are not as of the instant, and nobody knows how far they differ, so the verdict is unclear. */
function unclearIf(replays: readonly ReplayReport[]): { readonly unclear?: true } {
  return replays.some(({ notArchived }) => notArchived.length > 0) ? { unclear: true } : {};
}

async function requireReport(job: RestoreJob, database: DatabaseJob): Promise<ReplayReport> {
  const report = await readReport(job, database);
  if (report !== undefined) return report;
  throw permanent(
    'RESTORE_NOT_REPLAYED',
    `Database "${database.names.to}" was not replayed to its end`,
    'Start the restore again.',
  );
}

/** True when an earlier attempt has finished: the scratch database exists and has no bookkeeping. */
async function isFinished({ target, context }: RestoreJob, { names }: DatabaseJob): Promise<boolean> {
  const session = await connectIfThere({ target, names: [names.working], signal: context.signal });
  if (session === undefined) return false;
  try {
    return (await readState(session)) === undefined;
  } finally {
    await session.close();
  }
}

/** Does everything for a finished database that can fail, under its working name. Returns whether this restore created the database. */
async function complete(job: RestoreJob, database: DatabaseJob): Promise<boolean> {
  const state = await withRestoreSession(job, database, readState);
  if (!job.withSchema) await withRestoreSession(job, database, restoreTriggers);
  if (state?.origin !== 'created') return false;
  await applyProperties(job, database);
  return true;
}

/** Sets owner, settings, comment and grants of the database itself. Our own sessions pin the settings that these could change. */
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
      await leaveOut(job, database, { kind: entry.type, name: entry.name, sql: text }, () =>
        session.query(`apply ${entry.type} ${entry.name}`, text),
      );
    }
  });
}

/** Sets, at the very end, the properties that would keep this restore from connecting or renaming. */
async function limitConnections(
  job: RestoreJob,
  record: RestoreRecord,
  database: DatabaseJob,
): Promise<void> {
  if (!record.databases.some(({ to, created }) => to === database.names.to && created)) return;
  await withMaintenanceSession(job, async (session) => {
    for (const { entry, text } of propertyStatements(database, database.names.to, undefined)) {
      if (limitsUse(text)) await session.query(`apply ${entry.type} ${entry.name}`, text);
    }
  });
}

/** True for `ALTER DATABASE … CONNECTION LIMIT`, `… IS_TEMPLATE`, `… ALLOW_CONNECTIONS`, as pg_dump writes them. */
function limitsUse(text: string): boolean {
  return /^\s*ALTER DATABASE .* (?:CONNECTION LIMIT|IS_TEMPLATE|ALLOW_CONNECTIONS) ?= ?\S+;?\s*$/is.test(
    text,
  );
}

/** The note on a backup without tables: often the plan names the wrong database, an empty one. */
const NOTHING_COMPARED =
  'The backup holds no table, so nothing was compared: see whether the plan names the right database.';

async function outcome(
  job: RestoreJob,
  found: Pick<Findings, 'problems' | 'notes'> &
    Partial<Findings> & { readonly compared?: string | undefined },
): Promise<RestoreOutcome> {
  const { problems } = found;
  const { indexes, replays = [], proved = 0 } = found;
  const compared =
    indexes === undefined ? found.compared : describeComparison(job, { indexes, replays, proved });
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
  const isProof = job.context.request.replay?.proves !== undefined;
  const hasNone = isProof ? proved === 0 : tables.length === 0;
  const isEmpty = job.withData ? hasNone : comparedSchema(job) === undefined;
  const notes = isEmpty ? [...found.notes, NOTHING_COMPARED] : found.notes;
  return {
    databases,
    rows,
    tables: tables.length,
    problems,
    ...defined({ compared }),
    ...(isEmpty ? { comparedNothing: true as const } : {}),
    // A proof's comparison states how many tables it leaves out.
    ...(isProof ? {} : unclearIf(replays)),
    ...(notes.length === 0 ? {} : { notes }),
  };
}

/** Describes what was compared. A verdict of OK means no more than this. */
function describeComparison(
  job: RestoreJob,
  { indexes, replays, proved }: Pick<Findings, 'indexes' | 'replays' | 'proved'>,
): string {
  const { withData, context, databases } = job;
  if (!withData) return comparedSchema(job) ?? 'nothing';
  const proves = context.request.replay?.proves;
  if (proves !== undefined) return describeProof(proved, replays, { check: context.request.check, proves });
  const tables = databases.reduce(
    (sum, { manifest, selection }) => sum + manifest.tables.filter(selection.includes).length,
    0,
  );
  const what = context.request.check === 'content' ? 'content' : 'counts';
  const also = indexes === 0 ? '' : `, ${formatCount(indexes)} ${indexes === 1 ? 'index' : 'indexes'}`;
  const together = databases.flatMap(comparedAsWhole);
  const more = together.length > MAX_NAMED ? ` and ${together.length - MAX_NAMED} more` : '';
  const whole =
    together.length === 0 ? '' : `, the rows of ${together.slice(0, MAX_NAMED).join(', ')}${more} as a whole`;
  const compared =
    replays.length > 0
      ? describeReplayed(tables, replays, what)
      : `${what} of ${formatAmount(tables, 'table')}`;
  return `${compared}${whole}${also}`;
}
