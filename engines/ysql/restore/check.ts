import { type DataObject, dataObjectName } from '../../../model/backup.ts';
import type { ManifestTable } from '../../../model/manifest.ts';
import { readData } from '../../../repository/backups/data-pieces.ts';
import { textOf } from '../../../repository/backups/zstd-frames.ts';
import { forEachBounded } from '../../../repository/bounded.ts';
import { readRowCounts } from '../archive/position.ts';
import { type CopyBlock, copyOut } from '../copy-out.ts';
import { copyOptions } from '../copy-statements.ts';
import { holdsLargeObjects } from '../large-objects.ts';
import { quoteTable, tableName } from '../server/identifiers.ts';
import type { Session } from '../server/session.ts';
import { countedTables, loadedObjects, noteCount, withRestoreSession } from './bookkeeping.ts';
import { MultisetHash } from './content-hash.ts';
import { inGroups } from './in-groups.ts';
import { type DatabaseJob, type RestoreJob, selectedObjects } from './job.ts';
import { backupTyped } from './other-types.ts';
import { withColumns, withFields } from './reordered-columns.ts';
import { checkSchema } from './schema-check.ts';

/**
 * Compares a restored database with the manifest; when only the schema was restored, compares it with the backup's scripts. Returns a description of each
 * difference; empty when there is none.
 */
export async function checkDatabase(job: RestoreJob, database: DatabaseJob): Promise<readonly string[]> {
  if (!job.withData) return await checkSchema(job, database);
  const objects = (await selectedObjects(job)).filter(
    ({ table }) => table.database === database.manifest.name,
  );
  const { missing, conditions, counted } = await withRestoreSession(job, database, async (session) => {
    const loaded = await loadedObjects(session);
    return {
      missing: objects
        .map(dataObjectName)
        .filter((name) => !loaded.has(name))
        .map((name) => `${name} was not loaded`),
      conditions: await configurationConditions(session),
      counted: await countedTables(session),
    };
  });
  const selected = database.manifest.tables.filter((table) => database.selection.includes(table));
  const { tolerate = false } = job.context.request;
  const absent = tolerate ? await absentTables(job, database, selected) : new Set<ManifestTable>();
  const tables = selected.filter((table) => !absent.has(table));
  const differences = tolerate
    ? [...absent].map((table) => `${tableName(table)} is not there`)
    : [...missing];
  differences.push(...(await compareTables(job, database, { tables, objects, conditions, counted })));
  return differences;
}

interface Compared {
  readonly tables: readonly ManifestTable[];
  readonly objects: readonly DataObject[];
  readonly conditions: ReadonlyMap<string, string>;
  /** Numbers of rows that were counted ahead, by the tables' quoted names. */
  readonly counted: ReadonlyMap<string, string>;
}

/** Compares tables with the objects that hold their rows, as the request's `check` says. Returns a description of each difference. */
async function compareTables(
  job: RestoreJob,
  database: DatabaseJob,
  { tables, objects, conditions, counted }: Compared,
): Promise<readonly string[]> {
  const differences: string[] = [];
  const objectsOf = Map.groupBy(objects, ({ table }) => quoteTable(table));
  const countsOf = await countSmallTables(job, database, {
    tables: tables.filter((table) => !counted.has(quoteTable(table))),
    conditions,
  });
  // Largest first, so that the last slot to finish doesn't compare the largest table while the others are idle.
  const bySize = tables.toSorted((one, other) => other.bytes - one.bytes);
  const loaded = bySize.map((table): LoadedTable => {
    const relation = quoteTable(table);
    return {
      table,
      condition: conditions.get(relation) ?? '',
      objects: objectsOf.get(relation) ?? [],
      counted: counted.get(relation) ?? countsOf.get(relation),
    };
  });
  await forEachBounded(comparedTogether(database, loaded), job.context.request.parallelism, async (some) => {
    differences.push(...(await checkTables(job, database, some)));
  });
  return differences;
}

/**
 * After a replay, compares each table's number of rows with the number from manifest and replay: rows of the base, plus inserted rows,
 * minus deleted ones. Returns a description of each difference; empty when there is none.
 */
export async function checkReplayed(job: RestoreJob, database: DatabaseJob): Promise<readonly string[]> {
  const { changes, conditions } = await withRestoreSession(job, database, async (session) => ({
    changes: await readRowCounts(session),
    conditions: await configurationConditions(session),
  }));
  const differences: string[] = [];
  const tables = database.manifest.tables
    .filter((table) => database.selection.includes(table) && !holdsLargeObjects(table))
    .toSorted((one, other) => other.bytes - one.bytes);
  await forEachBounded(tables, job.context.request.parallelism, async (table) => {
    const relation = quoteTable(table);
    const { isTruncated = false, rows: change = 0 } = changes.get(relation) ?? {};
    const expected = (isTruncated ? 0 : table.rows) + change;
    const rows = await withRestoreSession(job, database, (session) =>
      countRows(session, table, conditions.get(relation) ?? ''),
    );
    if (Number(rows) === expected) return;
    differences.push(
      `${tableName(table)} has ${rows} rows, the backup and the changes since make ${expected}`,
    );
  });
  return differences;
}

/**
 * Compares the tables with another backup, which a replay should have reproduced. `job` and `database` must have the manifest, folder and objects
 * of that backup. Skips tables that the restore leaves out, and those in `without` (`schema.table`).
 */
export async function checkAgainst(
  job: RestoreJob,
  database: DatabaseJob,
  without: ReadonlySet<string>,
): Promise<{ readonly differences: readonly string[]; readonly compared: number }> {
  const tables = database.manifest.tables.filter(
    (table) =>
      database.selection.includes(table) && !holdsLargeObjects(table) && !without.has(tableName(table)),
  );
  const names = new Set(tables.map(quoteTable));
  const objects = (await job.context.dataObjects()).filter(
    ({ table }) => table.database === database.manifest.name && names.has(quoteTable(table)),
  );
  const conditions = await withRestoreSession(job, database, configurationConditions);
  const absent = await absentTables(job, database, tables);
  const differences = await compareTables(job, database, {
    objects,
    conditions,
    counted: new Map(),
    tables: tables.filter((table) => !absent.has(table)),
  });
  const missing = [...absent].map((table) => `${tableName(table)} is not there`);
  return { differences: [...missing, ...differences], compared: tables.length };
}

async function absentTables(
  job: RestoreJob,
  database: DatabaseJob,
  tables: readonly ManifestTable[],
): Promise<ReadonlySet<ManifestTable>> {
  const names = tables.map(quoteTable);
  const found = await withRestoreSession(job, database, (session) =>
    session.query<{ name: string }>(
      'look for the tables',
      'SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL',
      [names],
    ),
  );
  const absent = new Set(found.map(({ name }) => name));
  return new Set(tables.filter((table) => absent.has(quoteTable(table))));
}

/** Reads the conditions that select the backed-up rows of extensions' configuration tables, which also hold the extension's own rows. */
async function configurationConditions(session: Session): Promise<ReadonlyMap<string, string>> {
  const rows = await session.query<{ schema: string; table: string; condition: string }>(
    'read the configuration tables of extensions',
    `SELECT n.nspname AS schema, c.relname AS table, coalesce(e.extcondition[array_position(e.extconfig, c.oid)], '') AS condition
     FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_class c ON c.oid = ANY (e.extconfig)
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace`,
  );
  return new Map(rows.map((row) => [quoteTable(row), row.condition]));
}

/**
 * Counts a completely loaded table ahead, so that the comparison doesn't have to. No later step changes its rows. Leaves two
 * kinds of tables to the comparison: configuration tables of extensions, and unlogged tables, which a crash of the server
 * empties.
 */
export async function countAhead(session: Session, table: ManifestTable): Promise<void> {
  const relation = quoteTable(table);
  const [found] = await session.query<{ stays: boolean }>(
    `look at ${tableName(table)}`,
    `SELECT c.relpersistence = 'p'
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE c.oid = ANY (e.extconfig)) AS stays
     FROM pg_catalog.pg_class c WHERE c.oid = to_regclass($1)`,
    [relation],
  );
  if (found?.stays !== true) return;
  await noteCount(session, relation, await countRows(session, table, ''));
}

async function countRows(session: Session, table: ManifestTable, condition: string): Promise<string> {
  const [count] = await session.query<{ rows: string }>(
    `count ${tableName(table)}`,
    `SELECT count(*)::text AS rows FROM ONLY ${quoteTable(table)} ${condition}`,
  );
  return count?.rows ?? 'an unknown number of';
}

/** Counting a smaller table takes less time than the round trip, bytes of COPY text. */
const SMALL_TABLE_BYTES = 1024 * 1024;
const COUNTED_AT_ONCE = 50;

/** Counts the rows of the small tables among these, many in one statement. Returns the numbers by quoted name. */
async function countSmallTables(
  job: RestoreJob,
  database: DatabaseJob,
  {
    tables,
    conditions,
  }: { readonly tables: readonly ManifestTable[]; readonly conditions: ReadonlyMap<string, string> },
): Promise<ReadonlyMap<string, string>> {
  const counts = new Map<string, string>();
  const groups = inGroups(
    tables.filter(({ bytes }) => bytes < SMALL_TABLE_BYTES),
    { maxItems: COUNTED_AT_ONCE, maxWeight: Number.POSITIVE_INFINITY, weightOf: () => 0 },
  );
  await forEachBounded(groups, job.context.request.parallelism, async (group) => {
    const names = group.map(quoteTable);
    const parts = names.map(
      (name, place) =>
        `SELECT ${place} AS place, count(*)::text AS rows FROM ONLY ${name} ${conditions.get(name) ?? ''}`,
    );
    const found = await withRestoreSession(job, database, (session) =>
      session.query<{ place: number; rows: string }>(
        `count ${names.slice(0, 3).join(', ')}${names.length > 3 ? ` and ${names.length - 3} more` : ''}`,
        parts.join(' UNION ALL '),
      ),
    );
    for (const { place, rows } of found) {
      const name = names[place];
      if (name !== undefined) counts.set(name, rows);
    }
  });
  return counts;
}

/** One table to compare. */
interface LoadedTable {
  readonly table: ManifestTable;
  /** SQL condition for the rows that come from the backup; empty for all. */
  readonly condition: string;
  readonly objects: readonly DataObject[];
  /** Its number of rows, if it was counted ahead. */
  readonly counted: string | undefined;
}

/** Tables that are compared as one set, because each may hold rows that the backup has in another one of them. */
interface ComparedTables {
  /** The subject of a sentence about a difference. */
  readonly subject: string;
  readonly has: 'has' | 'have';
  readonly tables: readonly LoadedTable[];
}

/** Groups the tables for the comparison: each table by itself, except partitions whose rows may be in a different partition of the copy. */
function comparedTogether(
  { routes }: DatabaseJob,
  loaded: readonly LoadedTable[],
): readonly ComparedTables[] {
  const groups = Map.groupBy(loaded, (one) => {
    const route = routes.get(tableName(one.table));
    return route === undefined ? one : tableName(route);
  });
  return [...groups].map(([by, tables]) =>
    typeof by === 'string'
      ? { subject: `the partitions of ${by}`, has: 'have', tables }
      : { subject: tableName(by.table), has: 'has', tables },
  );
}

/** Returns the names (`schema.table`) of the partitioned tables whose partitions are compared as a whole. Pure. */
export function comparedAsWhole({ manifest, selection, routes }: DatabaseJob): readonly string[] {
  const some = manifest.tables.filter((table) => selection.includes(table));
  return [...new Set(some.flatMap((table) => routes.get(tableName(table)) ?? []).map(tableName))].sort();
}

async function checkTables(
  job: RestoreJob,
  database: DatabaseJob,
  { subject, has, tables }: ComparedTables,
): Promise<readonly string[]> {
  const own = tables.flatMap(({ objects }) => objects);
  return await withRestoreSession(job, database, async (session) => {
    let rows = 0;
    for (const { table, condition, counted } of tables) {
      rows += Number(counted ?? (await countRows(session, table, condition)));
    }
    const wanted = tables.reduce((sum, { table }) => sum + table.rows, 0);
    if (rows !== wanted) return [`${subject} ${has} ${rows} rows, the manifest says ${wanted}`];
    const [first] = own;
    if (job.context.request.check !== 'content' || first === undefined) return [];
    const { columns } = first;
    const binary = first.format === 'copy-binary';
    const restored = new MultisetHash();
    for (const { table, condition } of tables) {
      const from = `FROM ONLY ${quoteTable(table)} ${condition}`;
      const selected =
        binary && job.context.request.contents === 'data'
          ? await backupTyped(session, { ...first, table: { ...first.table, ...table } })
          : columns;
      const statement = `COPY (SELECT ${selected.join(', ')} ${from}) TO STDOUT ${copyOptions(database.manifest.encoding, binary)}`;
      const doing = `read back ${tableName(table)}`;
      const blocks = copyOut(session, statement, doing, job.context.signal, binary ? 'binary' : 'text');
      await restored.addAll(dataOf(blocks), binary ? 'binary-rows' : 'text');
    }
    if (restored.value === (await storedHash(job, own, columns))) return [];
    return has === 'has'
      ? [`${subject} differs from the backup in its content`]
      : [`${subject} differ from the backup in their content`];
  });
}

async function* dataOf(blocks: AsyncIterable<CopyBlock>): AsyncGenerator<Buffer> {
  for await (const { data } of blocks) yield data;
}

/** @param columns in the order in which they are hashed; partitions of one table may have different orders */
async function storedHash(
  job: RestoreJob,
  objects: readonly DataObject[],
  columns: readonly string[],
): Promise<string> {
  const { store, folder, signal } = job.context;
  const stored = new MultisetHash();
  for (const object of objects) {
    const { columns: own, format } = object;
    const body = await readData(store, folder, object, { signal });
    const places = columns.map((column) => own.indexOf(column));
    const isInOrder = places.every((place, at) => place === at);
    const rows = textOf(body);
    if (format === 'copy-binary')
      await (isInOrder
        ? stored.addAll(rows, 'binary-object')
        : stored.addAll(withFields(rows, places), 'binary-rows'));
    else await stored.addAll(isInOrder ? rows : withColumns(rows, places), 'text');
  }
  return stored.value;
}
