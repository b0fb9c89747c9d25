import type { ManifestTable } from '../../../model/manifest.ts';
import type { DumpEntry } from '../dump-script.ts';
import { quoteTable, tableName } from '../identifiers.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';
import { entryTable, type QualifiedName, qualifiedNameAt, tableOfAlter } from './selection.ts';

/** Entries of post-data that are applied in one transaction. */
export interface PostDataUnit {
  readonly database: DatabaseJob;
  /** Unique in the database, the same on every worker. */
  readonly id: string;
  /** Name of the one table that the entries are about; absent where they are about several, or other things. */
  readonly table?: string;
  /** Loaded table, quoted, to vacuum first. */
  readonly vacuum?: string;
  /** Loaded table to count, for the comparison at the end. */
  readonly count?: ManifestTable;
  readonly entries: readonly DumpEntry[];
  /** Quoted tables to lock first, in an order that is the same for all units, so that they can't deadlock. */
  readonly lockTables: readonly string[];
}

/** What one activity applies, one unit after the other. */
export type PostDataBatch = readonly PostDataUnit[];

/** Above this, a table's indexes are built one by one, beside each other; below, one unit builds them all. */
const LARGE_TABLE_BYTES = 32 * 1024 * 1024;
/** Smaller tables have nothing to gain from VACUUM, nor from being counted beside other work. */
const LEAST_BYTES = 1024 * 1024;
/** So that the history of a restore with many thousands of tables stays short. */
const MOST_BATCHES = 200;

/**
 * Batches of post-data by wave. Units of one wave are independent of each other; a wave needs the ones before it:
 *
 * 1. VACUUM of loaded tables, keys and other constraints, with the indexes of small tables; 2. indexes of large tables;
 * 3. indexes attached to those of their partitioned table; 4. foreign keys, and beside them, since one process of the server checks
 * each, the counts of larger tables; 5. the rest in the dump's order; 6 … materialized views, each after those it may read; last,
 * event triggers, which would fire on everything before.
 *
 * Pure, and so the same on every worker.
 */
export function postDataWaves(job: RestoreJob): readonly (readonly PostDataBatch[])[] {
  const byDatabase = job.databases.map((database) => wavesOfDatabase(job, database));
  const length = Math.max(0, ...byDatabase.map((waves) => waves.length));
  return Array.from({ length }, (_, wave) => byDatabase.flatMap((waves) => waves[wave] ?? []))
    .filter((units) => units.length > 0)
    .map(asBatches);
}

/** The units that come first, which are the largest, each begin a batch. */
function asBatches(units: readonly PostDataUnit[]): readonly PostDataBatch[] {
  const length = Math.min(MOST_BATCHES, units.length);
  return Array.from({ length }, (_, batch) => units.filter((_, place) => place % length === batch));
}

function wavesOfDatabase(job: RestoreJob, database: DatabaseJob): readonly (readonly PostDataUnit[])[] {
  const loaded = job.withData ? largerTables(database) : [];
  const vacuums = new Map(loaded.map((table) => [tableName(table), quoteTable(table)]));
  const entries = job.withSchema ? database.postData.filter((entry) => database.selection.keeps(entry)) : [];
  const lateRelations = new Set(entries.filter(({ type }) => type === 'MATERIALIZED VIEW').map(nameOf));
  const isIndex = (entry: DumpEntry) => {
    const table = entryTable(entry);
    const isKind = entry.type === 'INDEX' || entry.type === 'CONSTRAINT' || entry.type === 'CHECK CONSTRAINT';
    return isKind && table !== undefined && !lateRelations.has(table);
  };
  const attaching = entries.filter(({ type }) => type === 'INDEX ATTACH');
  const foreignKeys = entries.filter(({ type }) => type === 'FK CONSTRAINT');
  const refreshes = entries.filter(({ type }) => type === 'MATERIALIZED VIEW DATA');
  const isLast = ({ type, name }: DumpEntry) => type === 'EVENT TRIGGER' || name.startsWith('EVENT TRIGGER ');
  const last = entries.filter(isLast);
  const placed = new Set([...attaching, ...foreignKeys, ...refreshes, ...last]);
  const rest = entries.filter((entry) => !placed.has(entry) && !isIndex(entry));
  const one = (id: string, some: readonly DumpEntry[]) =>
    some.length === 0 ? [] : [{ database, id, entries: some, lockTables: [] }];
  return [
    ...indexWaves(database, entries.filter(isIndex), vacuums),
    one('attach', attaching),
    [
      ...foreignKeys.map((entry, index) => foreignKeyUnit(database, entry, index)),
      ...loaded.map((table) => ({
        ...{ database, id: `count-${quoteTable(table)}`, count: table, entries: [], lockTables: [] },
      })),
    ],
    one('rest', rest),
    ...refreshes.map((entry, index) => one(`refresh-${index}`, [entry])),
    one('event-triggers', last),
  ];
}

function nameOf(entry: DumpEntry): string {
  return `${entry.schema}.${entry.name}`;
}

/**
 * Loaded tables, largest first, that VACUUM (ANALYZE) is worth while for: once the visibility map says that every row is there for
 * everybody, foreign keys are checked and rows counted in the index alone (measured: a third of the time).
 */
function largerTables({ manifest, selection }: DatabaseJob): readonly ManifestTable[] {
  return manifest.tables
    .filter((table) => selection.includes(table) && table.bytes >= LEAST_BYTES)
    .sort((one, other) => other.bytes - one.bytes);
}

/**
 * Two waves, largest table first: what needs its table for itself (VACUUM, ALTER TABLE); then the large tables' indexes.
 */
function indexWaves(
  database: DatabaseJob,
  entries: readonly DumpEntry[],
  vacuums: ReadonlyMap<string, string>,
): readonly [readonly PostDataUnit[], readonly PostDataUnit[]] {
  const bytes = new Map(database.manifest.tables.map((table) => [tableName(table), table.bytes]));
  const byTable = Map.groupBy(entries, (entry) => entryTable(entry) ?? '');
  const tables = [...new Set([...vacuums.keys(), ...byTable.keys()])].sort(
    (a, b) => (bytes.get(b) ?? 0) - (bytes.get(a) ?? 0),
  );
  const first: PostDataUnit[] = [];
  const second: PostDataUnit[] = [];
  for (const table of tables) {
    const own = byTable.get(table) ?? [];
    const isLarge = (bytes.get(table) ?? 0) > LARGE_TABLE_BYTES;
    const apart = isLarge ? own.filter(onlyCreatesIndex) : [];
    const together = own.filter((entry) => !apart.includes(entry));
    const vacuum = vacuums.get(table);
    if (vacuum !== undefined || together.length > 0) {
      first.push({
        ...{ database, id: `table-${table}`, table, entries: together, lockTables: [] },
        ...(vacuum === undefined ? {} : { vacuum }),
      });
    }
    for (const entry of apart) {
      second.push({ database, id: `index-${nameOf(entry)}`, table, entries: [entry], lockTables: [] });
    }
  }
  return [first, second];
}

/** CREATE INDEX lets others build on the table too; `CLUSTER ON` and `REPLICA IDENTITY` behind it don't. */
function onlyCreatesIndex(entry: DumpEntry): boolean {
  return entry.type === 'INDEX' && entry.statements.every(({ tokens }) => tokens[1]?.text !== 'table');
}

function foreignKeyUnit(database: DatabaseJob, entry: DumpEntry, index: number): PostDataUnit {
  const tokens = entry.statements[0]?.tokens ?? [];
  const references = tokens.findIndex(({ kind, text }) => kind === 'word' && text === 'references');
  const both = [tableOfAlter(tokens), qualifiedNameAt(tokens, references + 1)];
  const lockTables = both.filter((name): name is QualifiedName => name !== undefined).map(quoteTable);
  return {
    database,
    id: `foreign-key-${index}`,
    entries: [entry],
    lockTables: [...new Set(lockTables)].sort(),
  };
}
