import { defined } from '../../../model/defined.ts';
import type { ManifestTable } from '../../../model/manifest.ts';
import type { DumpEntry } from '../server/dump-script.ts';
import { quoteTable, tableName } from '../server/identifiers.ts';
import type { Token } from '../server/sql-text.ts';
import { isOfEventTrigger, switchedOff } from './event-triggers.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';
import { asBatches } from './post-data-batches.ts';
import type { PostDataBatch, PostDataUnit, Strand } from './post-data-unit.ts';
import { entryTable, type QualifiedName, qualifiedNameAt, tableOfAlter } from './selection.ts';

/** Above this size each index of a table is a separate unit, so that they can be built at the same time; below it one unit builds them all. */
const LARGE_TABLE_BYTES = 32 * 1024 * 1024;
/** Smaller tables gain nothing from VACUUM, or from being counted beside other work. */
const LEAST_BYTES = 1024 * 1024;
/** Maximum number of waves for entries that keep their order; each wave is an activity with its own time limit. */
const MAX_ORDERED_WAVES = 50;

/**
 * Returns the batches of post-data by wave. Units of one wave are independent of each other; a wave needs the ones before it:
 *
 * 1. VACUUM of loaded tables, keys and other constraints, and the indexes of small tables; 2. indexes of large tables; 3. indexes
 * attached to those of their partitioned table; 4. foreign keys, and beside them the counts of larger tables, because the server
 * checks each foreign key in one process; 5 … everything else, one entry after the other in the dump's order; last, event
 * triggers, which would fire on everything before; they stay switched off until the restore ends (`event-triggers.ts`).
 *
 * The first four hold only entries that call nothing but built-in functions and need nothing that comes later (`calls.ts`). For
 * other functions only pg_dump's order proves that what they use exists. So an index or constraint that calls one waits until all
 * rows, and everything before it in the dump, are there.
 *
 * Pure, so the result is the same on every worker.
 */
export function postDataWaves(job: RestoreJob): readonly (readonly PostDataBatch[])[] {
  const byDatabase = job.databases.map((database) => wavesOfDatabase(job, database));
  const length = Math.max(0, ...byDatabase.map((waves) => waves.length));
  return Array.from({ length }, (_, wave) => byDatabase.flatMap((waves) => waves[wave] ?? []))
    .filter((strands) => strands.length > 0)
    .map(asBatches);
}

function wavesOfDatabase(job: RestoreJob, database: DatabaseJob): readonly (readonly Strand[])[] {
  const loaded = job.withData ? largerTables(database) : [];
  const vacuums = new Map(loaded.map((table) => [tableName(table), quoteTable(table)]));
  const keep = (entry: DumpEntry) => database.selection.keeps(entry);
  const entries = job.withSchema ? database.postData.filter(keep) : [];
  const { indexes, attaching, foreignKeys } = withoutNeeds(database, entries);
  const early = new Set([...indexes, ...attaching, ...foreignKeys]);
  const [checks, validations] = job.withSchema
    ? [database.lateChecks.filter(keep), database.validations.filter(keep)]
    : [[], []];
  const others = entries.filter((entry) => !early.has(entry) && !isOfEventTrigger(entry));
  const views = viewsWithoutNeeds(database, others);
  const bytes = bytesByTable(database);
  const ordered = [...checks, ...views, ...others.filter((entry) => !views.includes(entry)), ...validations];
  return [
    ...indexWaves(database, indexes, vacuums).map(apart),
    apart(unit(database, 'attach', attaching)),
    apart([
      ...foreignKeys.map((entry, index) => foreignKeyUnit(database, entry, index, bytes)),
      ...loaded.map((table) => ({
        database,
        id: `count-${quoteTable(table)}`,
        count: table,
        entries: [],
        lockTables: [],
        bytes: table.bytes,
      })),
    ]),
    ...orderedWaves([...orderedUnits(database, ordered), ...againUnits(job, database, entries)]),
    apart(unit(database, 'event-triggers', entries.filter(isOfEventTrigger).map(switchedOff))),
  ];
}

function apart(units: readonly PostDataUnit[]): readonly Strand[] {
  return units.map((one) => [one]);
}

function unit(database: DatabaseJob, id: string, entries: readonly DumpEntry[]): readonly PostDataUnit[] {
  return entries.length === 0 ? [] : [{ database, id, entries, lockTables: [] }];
}

/** Entries that may be applied at the same time as each other, and ahead of entries that precede them in the dump. */
interface EarlyEntries {
  readonly indexes: readonly DumpEntry[];
  readonly attaching: readonly DumpEntry[];
  readonly foreignKeys: readonly DumpEntry[];
}

/**
 * Finds the entries that call only built-in functions and need no entry that doesn't: an attached index needs both indexes, a
 * foreign key needs the key that it refers to.
 */
function withoutNeeds(database: DatabaseJob, entries: readonly DumpEntry[]): EarlyEntries {
  // Indexes of materialized views are built when the views are filled, from whatever their queries read.
  const lateRelations = new Set(
    [...database.preData, ...entries].filter(({ type }) => type === 'MATERIALIZED VIEW').map(nameOf),
  );
  const indexLike = entries.filter((entry) => {
    const table = entryTable(entry);
    const isKind = entry.type === 'INDEX' || entry.type === 'CONSTRAINT' || entry.type === 'CHECK CONSTRAINT';
    return isKind && table !== undefined && !lateRelations.has(table);
  });
  const { partitioned } = database.callingTables.made;
  const open = new Set(
    indexLike.filter((entry) => database.calls.inIndex(entry) || partitioned.has(entryTable(entry) ?? '')),
  );
  const openIndexes = new Set([...open].map(indexName));
  const openTables = new Set([...open].flatMap((entry) => entryTable(entry) ?? []));
  return {
    indexes: indexLike.filter((entry) => !open.has(entry)),
    attaching: entries.filter(
      (entry) =>
        entry.type === 'INDEX ATTACH' && !attachedIndexes(entry).some((name) => openIndexes.has(name)),
    ),
    foreignKeys: entries.filter((entry) => {
      if (entry.type !== 'FK CONSTRAINT') return false;
      const { referenced } = tablesOfForeignKey(entry);
      return referenced !== undefined && !openTables.has(tableName(referenced));
    }),
  };
}

/**
 * When a view needs a key, pg_dump first writes an empty view, and its query only after all indexes, one of whose functions may read the
 * view. Such queries are moved to the front: they need only tables, keys and other views, and creating them calls nothing.
 */
function viewsWithoutNeeds(database: DatabaseJob, entries: readonly DumpEntry[]): readonly DumpEntry[] {
  // These entries may include the key that the view needs. Exclusion constraints don't count: no view needs one.
  const isKey = ({ type, statements }: DumpEntry) =>
    type === 'CONSTRAINT' && statements[0]?.tokens.every(({ text }) => text !== 'exclude') === true;
  if (entries.some(isKey)) return [];
  return entries.filter(
    ({ type, name, statements }) =>
      (type === 'VIEW' || (type === 'RULE' && name.endsWith(' _RETURN'))) &&
      statements.every(({ tokens }) => !database.calls.inQuery(tokens)),
  );
}

/** Returns `schema.index` for an entry; a constraint's index has the constraint's name. */
function indexName(entry: DumpEntry): string {
  const tokens = entry.statements[0]?.tokens ?? [];
  const constraint = tokens.findIndex(({ kind, text }) => kind === 'word' && text === 'constraint');
  return `${entry.schema}.${constraint < 0 ? entry.name : tokens[constraint + 1]?.text}`;
}

/** The two indexes of `ALTER INDEX schema.parent ATTACH PARTITION schema.child`. */
function attachedIndexes({ statements }: DumpEntry): readonly string[] {
  const tokens = statements[0]?.tokens ?? [];
  const parent = qualifiedNameAt(tokens, 2);
  const partition = tokens.findIndex(({ kind, text }) => kind === 'word' && text === 'partition');
  const child = qualifiedNameAt(tokens, partition + 1);
  return [parent, child].flatMap((name) => (name === undefined ? [] : tableName(name)));
}

/** Each entry that takes long is a unit of its own; the quick entries between two of them form one unit. */
const LONG = new Set(['MATERIALIZED VIEW DATA', 'INDEX', 'CONSTRAINT', 'FK CONSTRAINT']);

function isLong({ type, statements }: DumpEntry): boolean {
  return LONG.has(type) || (type === 'CHECK CONSTRAINT' && isValidation(statements[0]?.tokens ?? []));
}

function isValidation(tokens: readonly Token[]): boolean {
  return tokens.some(({ kind, text }) => kind === 'word' && text === 'validate');
}

function orderedUnits(database: DatabaseJob, entries: readonly DumpEntry[]): readonly PostDataUnit[] {
  const groups: DumpEntry[][] = [];
  for (const entry of entries) {
    const group = groups.at(-1);
    const last = group?.at(-1);
    if (group === undefined || last === undefined || isLong(last) || isLong(entry)) {
      groups.push([entry]);
    } else {
      group.push(entry);
    }
  }
  const first = groups.findIndex((some) => some.some(isLong));
  return groups.map((some, place) => ({
    database,
    id: `ordered-${place}`,
    entries: some,
    lockTables: [],
    ...(place === first ? { sequences: true } : {}),
  }));
}

/** Retries entries that a tolerant restore may have left out because something was missing that exists by now. */
function againUnits(
  { context }: RestoreJob,
  database: DatabaseJob,
  entries: readonly DumpEntry[],
): readonly PostDataUnit[] {
  const some = entries.filter((entry) => LONG.has(entry.type));
  if (context.request.tolerate !== true || some.length === 0) return [];
  return [{ database, id: 'again', entries: some, lockTables: [], again: true }];
}

/** Orders units one after the other. When there are very many, a wave holds several of them, as one strand. */
function orderedWaves(units: readonly PostDataUnit[]): readonly (readonly Strand[])[] {
  const size = Math.max(1, Math.ceil(units.length / MAX_ORDERED_WAVES));
  const length = Math.ceil(units.length / size);
  return Array.from({ length }, (_, wave) => [units.slice(wave * size, (wave + 1) * size)]);
}

function nameOf(entry: DumpEntry): string {
  return `${entry.schema}.${entry.name}`;
}

/**
 * Returns the loaded tables, largest first, that are worth a VACUUM (ANALYZE). Once the visibility map marks every row as visible
 * to everybody, foreign keys are checked and rows counted by the index alone (measured: a third of the time).
 */
function largerTables({ manifest, selection }: DatabaseJob): readonly ManifestTable[] {
  return manifest.tables
    .filter((table) => selection.includes(table) && table.bytes >= LEAST_BYTES)
    .sort((one, other) => other.bytes - one.bytes);
}

/** Returns the bytes of COPY text by `schema.table`. */
function bytesByTable({ manifest }: DatabaseJob): ReadonlyMap<string, number> {
  return new Map(manifest.tables.map((table) => [tableName(table), table.bytes]));
}

/**
 * Returns two waves, the largest table first: first work that needs its table exclusively (VACUUM, ALTER TABLE), then the indexes
 * of large tables.
 */
function indexWaves(
  database: DatabaseJob,
  entries: readonly DumpEntry[],
  vacuums: ReadonlyMap<string, string>,
): readonly [readonly PostDataUnit[], readonly PostDataUnit[]] {
  const bytes = bytesByTable(database);
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
        database,
        id: `table-${table}`,
        table,
        entries: together,
        lockTables: [],
        bytes: bytes.get(table) ?? 0,
        ...defined({ vacuum }),
      });
    }
    for (const entry of apart) {
      second.push({
        database,
        id: `index-${nameOf(entry)}`,
        table,
        entries: [entry],
        lockTables: [],
        bytes: bytes.get(table) ?? 0,
      });
    }
  }
  return [first, second];
}

/**
 * True for an entry that only creates an index: CREATE INDEX lets others build on the same table, but a `CLUSTER ON` or `REPLICA
 * IDENTITY` after it doesn't.
 */
function onlyCreatesIndex(entry: DumpEntry): boolean {
  return entry.type === 'INDEX' && entry.statements.every(({ tokens }) => tokens[1]?.text !== 'table');
}

function foreignKeyUnit(
  database: DatabaseJob,
  entry: DumpEntry,
  index: number,
  bytes: ReadonlyMap<string, number>,
): PostDataUnit {
  const { own, referenced } = tablesOfForeignKey(entry);
  const tables = [own, referenced].filter((name): name is QualifiedName => name !== undefined);
  const lockTables = tables.map(quoteTable);
  return {
    database,
    id: `foreign-key-${index}`,
    entries: [entry],
    // The server looks up each row in the other table's key, which it reads completely.
    bytes: tables.reduce((sum, table) => sum + (bytes.get(tableName(table)) ?? 0), 0),
    lockTables: [...new Set(lockTables)].sort(),
  };
}

/** The two tables of `ALTER TABLE [ONLY] own … REFERENCES referenced`. */
function tablesOfForeignKey({ statements }: DumpEntry): {
  readonly own: QualifiedName | undefined;
  readonly referenced: QualifiedName | undefined;
} {
  const tokens = statements[0]?.tokens ?? [];
  const references = tokens.findIndex(({ kind, text }) => kind === 'word' && text === 'references');
  return { own: tableOfAlter(tokens), referenced: qualifiedNameAt(tokens, references + 1) };
}
