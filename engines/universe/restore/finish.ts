import { formatAmount, formatCount } from '../../../model/amounts.ts';
import { defined } from '../../../model/defined.ts';
import { HoldfastError } from '../../../model/errors.ts';
import type { Manifest, ManifestTable } from '../../../model/manifest.ts';
import { addRows, type KnownRows, rowsOfTable, UNKNOWN } from '../../../model/rows.ts';
import { readTabletList } from '../../../repository/objects/tablet-lists.ts';
import type { RestoreOutcome } from '../../engine.ts';
import type { ConnectionTarget } from '../../ysql/server/connection-url.ts';
import { exchangeNames, giveNameBack } from '../../ysql/server/exchange-names.ts';
import { checkIndexes, INDEX_CHECK_MS, type IndexFindings } from '../../ysql/server/index-check.ts';
import {
  databaseExists,
  dropDatabase,
  type NamedDatabases,
  withMaintenanceSession,
} from '../../ysql/server/maintenance.ts';
import { findScript, readScript } from '../../ysql/server/scripts.ts';
import { leaveSealed, recordOf, refuseIfSealed, seal } from '../../ysql/server/sealed-restore.ts';
import { type Session, withSession } from '../../ysql/server/session.ts';
import { scriptParts } from '../../ysql/server/sql-text.ts';
import { deleteAndSee } from '../release.ts';
import { countOf, holdsRows } from '../table-rows.ts';
import { openUniverse, type Universe, ysqlTarget } from '../universe.ts';
import { YB_ADMIN } from '../yb-admin/errors.ts';
import { abortRestoration, listRestorations } from '../yb-admin/restorations.ts';
import { type RestoredDatabase, restoredDatabases, type UniverseRestore } from './context.ts';
import { forgetAll, NOTES, readImported, readNote } from './ledger.ts';

/**
 * Sets sequences, compares row counts if the backup has them, and looks for invalid indexes. Then deletes the imported snapshots, and with
 * `replace` gives the restored databases their final names. If anything differs, everything stays under its working name.
 */
export async function finishUniverse(restore: UniverseRestore): Promise<RestoreOutcome> {
  const universe = await openUniverse(restore, restore.request.source);
  const databases = restoredDatabases(restore);
  const problems: string[] = [];
  let notes: string[] = [];
  const rows: KnownRows[] = [];
  let indexes = 0;
  let counted = 0;
  let looked = 0;
  const { at } = restore.request;
  let isUnclear = at !== undefined;
  if (at !== undefined) notes.push(notCompared(restore.manifest, at));
  const job = await namedDatabases(restore, universe);
  for (const database of job.databases) {
    const checked = (await hasFinalName(restore, job, database))
      ? { ...NOTHING_LOOKED_AT, rows: knownRows(restore, database) }
      : await finishDatabase(restore, job.target, database);
    rows.push(checked.rows);
    counted += checked.counted;
    looked += checked.looked;
    indexes += checked.indexes;
    problems.push(...checked.problems);
    isUnclear ||= checked.unclear.length > 0;
    notes.push(...checked.notes);
  }
  await deleteImported(restore, universe);
  let compared = describeComparison({
    counted,
    looked,
    indexes,
    keyspaces: databases.filter(({ api }) => api === 'ycql').map(({ to }) => to),
    isYsql: job.databases.length > 0,
    ...defined({ at }),
  });
  const kept = new Map<string, { readonly kept?: string }>();
  if (restore.request.replace && problems.length === 0) {
    const record = await seal(restore, job, {
      replace: true,
      created: job.databases.map(({ names }) => names.to),
      compared,
      notes,
      unclear: isUnclear,
    });
    // If an earlier attempt exchanged the names, this one compared nothing, so what the earlier one found holds.
    compared = record.compared ?? compared;
    notes = [...(record.notes ?? [])];
    isUnclear = record.unclear === true;
    notes.push(...(await exchangeNames(job, true)));
    notes.push(...((await readNote(restore, NOTES.broken)) ?? []));
    for (const { from, kept: name } of record.databases)
      kept.set(from, name === undefined ? {} : { kept: name });
  }
  return {
    databases: databases.map(({ from, names }) => ({ from, to: names.to, ...kept.get(from) })),
    ...addRows([
      ...rows,
      ...databases.flatMap((one) => (one.api === 'ycql' ? [knownRows(restore, one)] : [])),
      ...(at === undefined ? [] : [UNKNOWN]),
    ]),
    tables: restore.manifest.totals.tables,
    problems,
    compared,
    ...(notes.length === 0 ? {} : { notes }),
    ...(isUnclear ? { unclear: true } : {}),
  };
}

interface Compared {
  readonly counted: number;
  readonly looked: number;
  readonly indexes: number;
  readonly keyspaces: readonly string[];
  readonly isYsql: boolean;
  /** The instant, if it is not the backup's own. */
  readonly at?: string;
}

function notCompared({ backup }: Manifest, at: string): string {
  return `Nobody has counted the rows of ${at}: backup ${backup} knows those of its own instant alone, and YugabyteDB does not say whether it went back exactly. Compare with what you know of that instant.`;
}

/** What a verdict covers. Every file was compared with its SHA-256 when it was put into its place. */
function describeComparison({ counted, looked, indexes, keyspaces, isYsql, at }: Compared): string {
  return [
    'the SHA-256 of every file as it was put into its place',
    ...(counted === 0 ? [] : [`counts of ${formatAmount(counted, 'table')}`]),
    ...(looked === 0
      ? []
      : [
          `whether ${formatAmount(looked, 'table')} that held rows still do (the backup has no counts of them)`,
        ]),
    ...(isYsql ? ['validity of indexes'] : []),
    ...(indexes === 0 ? [] : [`${formatCount(indexes)} ${indexes === 1 ? 'index' : 'indexes'}`]),
    ...(at === undefined ? [] : [`not the rows, of which nobody has counts as of ${at}`]),
    ...(keyspaces.length === 0 ? [] : [`not the rows of keyspace ${keyspaces.join(', ')}`]),
  ].join(', ');
}

interface DatabaseFindings {
  readonly rows: KnownRows;
  /** Tables whose rows were counted. */
  readonly counted: number;
  /** Tables that were asked for a row because the backup knows that they held some. */
  readonly looked: number;
  /** Indexes that were compared with their tables. */
  readonly indexes: number;
  readonly problems: readonly string[];
  /** Tables that are empty although the backup has files with data of them. Nothing says whether all of that were deleted rows. */
  readonly unclear: readonly string[];
  readonly notes: readonly string[];
}

const NOTHING_LOOKED_AT: DatabaseFindings = {
  rows: { rows: 0 },
  counted: 0,
  looked: 0,
  indexes: 0,
  problems: [],
  unclear: [],
  notes: [],
};

type YsqlDatabases = NamedDatabases & { readonly databases: readonly RestoredDatabase[] };

/** The restore's YSQL databases, for the exchange of names, and where they are. */
async function namedDatabases(restore: UniverseRestore, universe: Universe): Promise<YsqlDatabases> {
  const databases = restoredDatabases(restore).filter(({ api }) => api === 'ysql');
  return { target: await ysqlTarget(restore, universe), databases, context: restore };
}

/** Whether an earlier attempt exchanged the names. Then applications may be using the database, and it is not touched any more. */
async function hasFinalName(
  { request }: UniverseRestore,
  job: YsqlDatabases,
  { to }: RestoredDatabase,
): Promise<boolean> {
  return request.replace && !(await withMaintenanceSession(job, (session) => databaseExists(session, to)));
}

async function finishDatabase(
  restore: UniverseRestore,
  target: ConnectionTarget,
  restored: RestoredDatabase,
): Promise<DatabaseFindings> {
  const { to, database } = restored;
  const object = findScript(database.schemaObjects, 'sequences');
  const values = object === undefined ? '' : await readScript(restore, object);
  const found = await withSession(target, to, restore.signal, async (session) => {
    for (const part of scriptParts(values)) {
      if (part.kind === 'statement') await session.query('set the value of a sequence', part.statement.text);
    }
    const problems = [...(await invalidIndexes(session))];
    const compared = await compareRows(restore, session, restored);
    return { ...compared, problems: [...problems, ...compared.problems] };
  });
  const indexes = await compareIndexes(restore, target, to);
  return {
    ...found,
    problems: [...found.problems, ...indexes.broken.map((problem) => `${to}: ${problem}`)],
    indexes: indexes.checked,
    notes: [
      ...indexes.unknown.map((note) => `${to}: ${note}`),
      ...found.unclear.map(
        (table) =>
          `${to}: ${table} is empty, though the backup has data of it; whether they were deleted rows alone, the backup does not say.`,
      ),
    ],
  };
}

/** Counts the rows of tables that the backup counted. Of the others, looks whether those that held rows at the backup hold rows now. */
async function compareRows(
  restore: UniverseRestore,
  session: Session,
  { to, index, database }: RestoredDatabase,
): Promise<Omit<DatabaseFindings, 'indexes' | 'notes'>> {
  const problems: string[] = [];
  const unclear: string[] = [];
  let withData: ReadonlySet<string> | undefined;
  const rows: KnownRows[] = [];
  let counted = 0;
  let looked = 0;
  if (restore.request.at !== undefined) {
    // The backup's counts hold for its snapshot's own instant. For another instant there are none.
    return { rows: UNKNOWN, counted, looked, problems, unclear };
  }
  for (const table of database.tables) {
    if (table.schema === '') continue;
    const name = `${table.schema}.${table.table}`;
    const known = rowsOfTable(restore.manifest, table);
    if (known.rows !== null && known.rowsEstimated !== true) {
      const found = await countOf(session, table);
      counted += 1;
      rows.push({ rows: found });
      if (found !== table.rows) problems.push(`${to}: ${name} has ${found} rows instead of ${table.rows}`);
    } else {
      rows.push(UNKNOWN);
      const isEmpty = await isEmptyNow(restore, session, table);
      if (table.holdsRows === true) {
        looked += 1;
        if (isEmpty) problems.push(`${to}: ${name} is empty, and held rows at the backup`);
      } else if (isEmpty) {
        withData ??= await tablesWithData(restore);
        if (withData.has(idOf(restore, index, table))) unclear.push(name);
      }
    }
    restore.heartbeat({ compared: table.table });
  }
  return { rows: addRows(rows), counted, looked, problems, unclear };
}

/** What the backup says of the rows of a database, which is not queried now. */
function knownRows({ manifest }: UniverseRestore, { database }: RestoredDatabase): KnownRows {
  return addRows(database.tables.map((table) => rowsOfTable(manifest, table)));
}

/** Whether a table is empty. False if it can't be read, like a materialised view that was not populated at the source either. */
async function isEmptyNow(
  restore: UniverseRestore,
  session: Session,
  table: ManifestTable,
): Promise<boolean> {
  try {
    return !(await holdsRows(session, table));
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.transient || table.holdsRows === true) throw error;
    restore.log('a table could not be looked at', { table: table.table, reason: error.message });
    return false;
  }
}

/** Ids of tables of which the backup has files with data, perhaps of deleted rows alone. */
async function tablesWithData({
  manifest,
  store,
  ref,
  signal,
}: UniverseRestore): Promise<ReadonlySet<string>> {
  const tables = new Set<string>();
  for (const entry of manifest.tablets?.lists ?? []) {
    const { tablets } = await readTabletList(store, ref, entry, { signal });
    for (const { table, files } of tablets) {
      if (files.some(({ path }) => path.includes('.sst'))) tables.add(table);
    }
  }
  return tables;
}

function idOf({ manifest }: UniverseRestore, index: number, { schema, table }: ManifestTable): string {
  const tables = manifest.universe?.snapshots[index]?.tables ?? [];
  return tables.find((one) => one.schema === schema && one.name === table && !one.index)?.id ?? '';
}

/** Compares indexes with their tables. An index comes back as its files were, so one that was broken at the source is broken here. */
async function compareIndexes(
  restore: UniverseRestore,
  target: ConnectionTarget,
  to: string,
): Promise<IndexFindings> {
  const { request, signal } = restore;
  const limitMs = request.indexCheckMs ?? (request.check === 'content' ? INDEX_CHECK_MS : 0);
  if (limitMs === 0) return { checked: 0, broken: [], unknown: [] };
  return await checkIndexes((work) => withSession(target, to, signal, work), {
    signal,
    parallelism: request.parallelism,
    limitMs,
    mayCreate: false,
  });
}

/** Lists invalid indexes. One that was being built at the backup is useless, and stays so. */
async function invalidIndexes(session: Session): Promise<readonly string[]> {
  const rows = await session.query<{ name: string }>(
    'list the invalid indexes',
    'SELECT indexrelid::regclass::text AS name FROM pg_catalog.pg_index WHERE NOT indisvalid',
  );
  return rows.map(
    ({ name }) => `${session.database}: the index ${name} is not valid: drop it and create it again`,
  );
}

async function deleteImported(restore: UniverseRestore, universe: Universe): Promise<void> {
  for (const { index } of restoredDatabases(restore)) {
    const imported = await readImported(restore, index);
    if (imported !== undefined) await deleteAndSee(universe.admin, restore, imported.snapshot);
  }
}

/** Deletes all notes of the restore, at its very end. */
export async function forgetRestore(restore: UniverseRestore): Promise<void> {
  await forgetAll(restore);
}

/**
 * Drops what an unfinished or scratch restore created, and nothing that was there before it. yb-admin can't drop YCQL keyspaces, so `left` names
 * them.
 */
export async function discardUniverse(
  restore: UniverseRestore,
): Promise<{ readonly left: readonly string[]; readonly stands: readonly string[] }> {
  const universe = await openUniverse(restore, restore.request.source);
  const databases = restoredDatabases(restore);
  const left: string[] = [];
  const record = restore.request.scratch ? undefined : await recordOf(restore);
  for (const database of databases) {
    const imported = await readImported(restore, database.index);
    if (imported === undefined) continue;
    await endRestorations(restore, universe, imported.snapshot);
    await deleteAndSee(universe.admin, restore, imported.snapshot);
  }
  for (const { api, to, names, index } of databases) {
    if ((await readNote(restore, NOTES.creating(index))) === undefined) continue;
    if (api === 'ycql') {
      left.push(to);
      continue;
    }
    if (record !== undefined) continue;
    const job = await namedDatabases(restore, universe);
    await withMaintenanceSession(job, async (session) => {
      await dropDatabase(job, session, to);
      if (restore.request.replace) await giveNameBack(session, names);
    });
  }
  await forgetAll(restore);
  const stands =
    record === undefined ? [] : await leaveSealed(record, await namedDatabases(restore, universe));
  return { left, stands };
}

/** A snapshot can't be deleted while it is being restored. */
async function endRestorations(
  restore: UniverseRestore,
  { admin }: Universe,
  snapshot: string,
): Promise<void> {
  for (const restoration of await listRestorations(admin)) {
    if (restoration.snapshot !== snapshot || restoration.state !== 'RESTORING') continue;
    try {
      await abortRestoration(admin, restoration.id);
    } catch (error) {
      const known: readonly string[] = [YB_ADMIN.notFound, YB_ADMIN.wrongState, YB_ADMIN.unsupported];
      if (!(error instanceof HoldfastError && known.includes(error.code))) throw error;
      restore.log('a restoration could not be given up', {
        restoration: restoration.id,
        reason: error.message,
      });
    }
  }
}

/** Refuses to run a restore again that has replaced databases. Throws `RESTORE_ENDED_BEFORE` (permanent). */
export async function refuseIfEnded(restore: UniverseRestore): Promise<void> {
  if (!restore.request.replace || (await recordOf(restore)) === undefined) return;
  const universe = await openUniverse(restore, restore.request.source);
  await refuseIfSealed(restore, await namedDatabases(restore, universe));
}
