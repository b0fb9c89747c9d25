import type { DumpEntry } from '../dump-script.ts';
import { quoteTable, tableName } from '../identifiers.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';
import { entryTable, type QualifiedName, qualifiedNameAt, tableOfAlter } from './selection.ts';

/** Entries of post-data that are applied in one transaction. */
export interface PostDataUnit {
  readonly database: DatabaseJob;
  /** Unique in the database, the same on every worker. */
  readonly id: string;
  readonly entries: readonly DumpEntry[];
  /** Quoted tables to lock first, in an order that is the same for all units, so that they can't deadlock. */
  readonly lockTables: readonly string[];
}

/** Above this, a table's indexes are built one by one, beside each other; below, one unit builds them all. */
const LARGE_TABLE_BYTES = 32 * 1024 * 1024;

/**
 * Units of post-data by wave. Units of one wave are independent of each other; a wave needs the ones before it:
 *
 * 1. keys and other constraints, with the indexes of small tables; 2. indexes of large tables; 3. indexes attached to those of
 * their partitioned table; 4. foreign keys; 5. the rest in the dump's order; 6 … materialized views, each after those it may
 * read; last, event triggers, which would fire on everything before.
 *
 * Pure, and so the same on every worker.
 */
export function postDataWaves(job: RestoreJob): readonly (readonly PostDataUnit[])[] {
  if (!job.withSchema) return [];
  const byDatabase = job.databases.map(wavesOfDatabase);
  const length = Math.max(0, ...byDatabase.map((waves) => waves.length));
  return Array.from({ length }, (_, wave) => byDatabase.flatMap((waves) => waves[wave] ?? [])).filter(
    (units) => units.length > 0,
  );
}

function wavesOfDatabase(database: DatabaseJob): readonly (readonly PostDataUnit[])[] {
  const entries = database.postData.filter((entry) => database.selection.keeps(entry));
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
    ...indexWaves(database, entries.filter(isIndex)),
    one('attach', attaching),
    foreignKeys.map((entry, index) => foreignKeyUnit(database, entry, index)),
    one('rest', rest),
    ...refreshes.map((entry, index) => one(`refresh-${index}`, [entry])),
    one('event-triggers', last),
  ];
}

function nameOf(entry: DumpEntry): string {
  return `${entry.schema}.${entry.name}`;
}

/** Two waves: what needs its table for itself (ALTER TABLE) first, largest table first; then the large tables' indexes. */
function indexWaves(
  database: DatabaseJob,
  entries: readonly DumpEntry[],
): readonly [readonly PostDataUnit[], readonly PostDataUnit[]] {
  const bytes = new Map(database.manifest.tables.map((table) => [tableName(table), table.bytes]));
  const byTable = Map.groupBy(entries, (entry) => entryTable(entry) ?? '');
  const tables = [...byTable].sort(([a], [b]) => (bytes.get(b) ?? 0) - (bytes.get(a) ?? 0));
  const first: PostDataUnit[] = [];
  const second: PostDataUnit[] = [];
  for (const [table, own] of tables) {
    const isLarge = (bytes.get(table) ?? 0) > LARGE_TABLE_BYTES;
    const apart = isLarge ? own.filter(onlyCreatesIndex) : [];
    const together = own.filter((entry) => !apart.includes(entry));
    if (together.length > 0)
      first.push({ database, id: `table-${table}`, entries: together, lockTables: [] });
    for (const entry of apart) {
      second.push({ database, id: `index-${nameOf(entry)}`, entries: [entry], lockTables: [] });
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
