import { permanent } from '../../model/errors.ts';
import type { NamePatterns, YcqlSource } from '../../model/pipeline.ts';
import { nameMatcher } from '../name-patterns.ts';
import {
  readAggregates,
  readDroppedColumns,
  readFunctions,
  readMasks,
  readTriggerNames,
  readViewRows,
} from './catalog-objects.ts';
import { parseType, usedTypes } from './cql-type.ts';
import { isSystemKeyspace } from './raw-pages.ts';
import type { ColumnSchema, IndexSchema, KeyspaceSchema, TableSchema, UserType } from './schema.ts';
import type { CqlSession } from './session.ts';
import { splitNames, withQuotedColumns, withQuotedTypes } from './unquoted-names.ts';

/** Table of a restore's own in its target; never backed up. */
export const JOURNAL_TABLE = 'holdfast_restore';

interface KeyspaceRow {
  readonly keyspace_name: string;
  readonly durable_writes: boolean | null;
  readonly replication: Readonly<Record<string, string>> | null;
}

/**
 * The keyspaces and tables that the source selects. Throws, permanent: `YCQL_NO_KEYSPACE`, `YCQL_NO_TABLE`, each with the names that
 * there are.
 */
export async function readSelected(
  session: CqlSession,
  source: Pick<YcqlSource, 'keyspaces' | 'tables'>,
  signal: AbortSignal,
): Promise<readonly KeyspaceSchema[]> {
  const all = await listKeyspaces(session, signal);
  const matcher = nameMatcher(source.keyspaces);
  const plain = source.keyspaces.include.filter((pattern) => !/[*?]/.test(pattern));
  const missing = plain.filter((name) => !all.some(({ keyspace_name }) => keyspace_name === name));
  const selected = all.filter(({ keyspace_name }) => matcher.matches(keyspace_name));
  if (missing.length > 0 || selected.length === 0) {
    throw permanent(
      'YCQL_NO_KEYSPACE',
      `${missing.length > 0 ? `There is no keyspace ${missing.join(', ')}` : 'No keyspace matches the plan’s patterns'}; the server has ${namesOf(all)}`,
      'Correct `keyspaces` in the plan. Names with capitals are written as they are, without quotes.',
    );
  }
  const schemas: KeyspaceSchema[] = [];
  for (const row of selected) schemas.push(await readKeyspace(session, row, source.tables, signal));
  refuseMissingTables(schemas, source.tables);
  return schemas;
}

function namesOf(rows: readonly KeyspaceRow[]): string {
  return rows.length === 0 ? 'none but its own' : rows.map(({ keyspace_name }) => keyspace_name).join(', ');
}

/** A name without wildcards that no table has is a mistake; a glob that matches nothing may be meant for later. */
function refuseMissingTables(schemas: readonly KeyspaceSchema[], patterns: NamePatterns): void {
  const names = schemas.flatMap(({ keyspace, tables }) => tables.map(({ name }) => `${keyspace}.${name}`));
  const missing = patterns.include.filter((pattern) => !/[*?]/.test(pattern) && !names.includes(pattern));
  if (missing.length === 0 && (names.length > 0 || patterns.include.length === 0)) return;
  throw permanent(
    'YCQL_NO_TABLE',
    missing.length > 0
      ? `There is no table ${missing.join(', ')} in the selected keyspaces (${schemas.map(({ keyspace }) => keyspace).join(', ')})`
      : `No table matches ${patterns.include.join(', ')}`,
    'Correct `tables` in the plan: globs over keyspace.table.',
  );
}

async function listKeyspaces(session: CqlSession, signal: AbortSignal): Promise<readonly KeyspaceRow[]> {
  const rows = await session.query<KeyspaceRow>(
    'list the keyspaces',
    'SELECT keyspace_name, durable_writes, replication FROM system_schema.keyspaces',
    [],
    signal,
  );
  return rows
    .filter(({ keyspace_name }) => !isSystemKeyspace(keyspace_name))
    .sort((one, other) => one.keyspace_name.localeCompare(other.keyspace_name));
}

/** One keyspace whole, undefined where there is none. */
export async function findKeyspace(
  session: CqlSession,
  name: string,
  signal: AbortSignal,
): Promise<KeyspaceSchema | undefined> {
  const row = (await listKeyspaces(session, signal)).find(({ keyspace_name }) => keyspace_name === name);
  return row === undefined ? undefined : readKeyspace(session, row, { include: [], exclude: [] }, signal);
}

/** One table as it is now, with the types of its keyspace; undefined where there is none. */
export async function readDefinition(
  session: CqlSession,
  keyspace: string,
  name: string,
  signal: AbortSignal,
): Promise<{ readonly table: TableSchema; readonly types: readonly UserType[] } | undefined> {
  const read = <Row extends object>(table: string) =>
    session.query<Row>(
      `read the definition of ${keyspace}.${name}`,
      `SELECT * FROM system_schema.${table} WHERE keyspace_name = ? AND table_name = ?`,
      [keyspace, name],
      signal,
    );
  const [row] = await read<TableRow>('tables');
  if (row === undefined) return undefined;
  const types = await readTypes(session, keyspace, signal);
  const rows = { columns: await read<ColumnRow>('columns'), indexes: await read<IndexRow>('indexes') };
  const around: Around = {
    masks: await readMasks(session, keyspace, signal),
    dropped: await readDroppedColumns(session, keyspace, signal),
    types,
  };
  return { table: tableSchema(session, row, rows, around), types };
}

/** One table as it is now, undefined where there is none. */
export async function readTable(
  session: CqlSession,
  keyspace: string,
  name: string,
  signal: AbortSignal,
): Promise<TableSchema | undefined> {
  return (await readDefinition(session, keyspace, name, signal))?.table;
}

/** In an order in which each needs only those before it. */
async function readTypes(
  session: CqlSession,
  keyspace: string,
  signal: AbortSignal,
): Promise<readonly UserType[]> {
  const rows = await session.query<TypeRow>(
    `read the types of keyspace ${keyspace}`,
    'SELECT * FROM system_schema.types WHERE keyspace_name = ?',
    [keyspace],
    signal,
  );
  const names = rows.map(({ type_name }) => type_name);
  return inOrderOfNeed(rows.map((row) => userType(session, row, names)));
}

async function readKeyspace(
  session: CqlSession,
  row: KeyspaceRow,
  patterns: NamePatterns,
  signal: AbortSignal,
): Promise<KeyspaceSchema> {
  const keyspace = row.keyspace_name;
  const matcher = nameMatcher(patterns);
  const read = <Row extends object>(table: string) =>
    session.query<Row>(
      `read the schema of keyspace ${keyspace}`,
      `SELECT * FROM system_schema.${table} WHERE keyspace_name = ?`,
      [keyspace],
      signal,
    );
  const types = await readTypes(session, keyspace, signal);
  const [tables, columns, indexes] = [
    await read<TableRow>('tables'),
    await read<ColumnRow>('columns'),
    await read<IndexRow>('indexes'),
  ];
  const indexTables = new Set(
    session.server.product === 'yugabytedb' ? indexes.map(({ index_name }) => index_name) : [],
  );
  const selected = tables.filter(
    ({ table_name }) =>
      table_name !== JOURNAL_TABLE &&
      !indexTables.has(table_name) &&
      matcher.matches(`${keyspace}.${table_name}`),
  );
  const tablets = await tabletCounts(session, keyspace, signal);
  const around: Around = {
    masks: await readMasks(session, keyspace, signal),
    dropped: await readDroppedColumns(session, keyspace, signal),
    types,
  };
  const rowsOfTable = (name: string): TableRows => ({
    columns: columns.filter(({ table_name }) => table_name === name),
    indexes: indexes.filter(({ table_name }) => table_name === name),
    tablets: tablets.get(name),
  });
  const carried = selected.filter((row) => !isSuper(row));
  const views = (await readViewRows(session, keyspace, signal)).filter(
    ({ view_name, base_table_name }) =>
      carried.some(({ table_name }) => table_name === base_table_name) &&
      !patterns.exclude.includes(`${keyspace}.${view_name}`),
  );
  return {
    keyspace,
    replication: row.replication ?? {},
    durableWrites: row.durable_writes ?? true,
    types,
    tables: carried
      .map((row) => tableSchema(session, row, rowsOfTable(row.table_name), around))
      .sort((one, other) => one.name.localeCompare(other.name)),
    functions: await readFunctions(session, keyspace, signal),
    aggregates: await readAggregates(session, keyspace, signal),
    views: views.map((row) => ({
      table: tableSchema(session, { ...row, table_name: row.view_name }, rowsOfTable(row.view_name), around),
      base: row.base_table_name,
      allColumns: row.include_all_columns === true,
      where: row.where_clause,
    })),
    notCarried: [
      ...(await readTriggerNames(session, keyspace, signal)).map((name) => `trigger ${name}`),
      ...selected.filter(isSuper).map(({ table_name }) => `super column family ${keyspace}.${table_name}`),
    ],
  };
}

interface TypeRow {
  readonly type_name: string;
  readonly field_names: readonly string[] | null;
  readonly field_types: readonly string[] | null;
}

function userType(
  session: CqlSession,
  { type_name, field_names, field_types }: TypeRow,
  typeNames: readonly string[],
): UserType {
  return {
    name: type_name,
    fields: (field_names ?? []).map((name, index) => ({
      name,
      type: typeText(session, field_types?.[index] ?? '', typeNames),
    })),
  };
}

/** A type as CQL has it; one that can't be read stays as it is, and is refused by name later. */
function typeText(session: CqlSession, text: string, typeNames: readonly string[]): string {
  if (session.server.product !== 'yugabytedb') return text;
  try {
    return withQuotedTypes(text, typeNames);
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}

function inOrderOfNeed(types: readonly UserType[]): readonly UserType[] {
  const ordered: UserType[] = [];
  const place = (type: UserType): void => {
    if (ordered.includes(type)) return;
    for (const name of type.fields.flatMap((field) => usedTypes(parseType(field.type)))) {
      const needed = types.find((other) => other.name === name);
      if (needed !== undefined && needed !== type) place(needed);
    }
    ordered.push(type);
  };
  for (const type of types) place(type);
  return ordered;
}

interface TableRow extends Readonly<Record<string, unknown>> {
  readonly table_name: string;
  readonly id: unknown;
  readonly flags?: readonly string[] | null;
  readonly default_time_to_live?: number | null;
  readonly transactions?: Readonly<Record<string, string>> | null;
}

interface ColumnRow {
  readonly table_name: string;
  readonly column_name: string;
  readonly clustering_order: string | null;
  readonly kind: string;
  readonly position: number;
  readonly type: string;
}

interface IndexRow {
  readonly table_name: string;
  readonly index_name: string;
  readonly kind: string | null;
  readonly options: Readonly<Record<string, string>> | null;
  readonly is_unique?: boolean | null;
  readonly transactions?: Readonly<Record<string, string>> | null;
}

interface TableRows {
  readonly columns: readonly ColumnRow[];
  readonly indexes: readonly IndexRow[];
  readonly tablets?: number | undefined;
}

/** What of a keyspace belongs to its tables. */
interface Around {
  readonly masks: Awaited<ReturnType<typeof readMasks>>;
  readonly dropped: Awaited<ReturnType<typeof readDroppedColumns>>;
  readonly types: readonly UserType[];
}

/** Of a table of Thrift's time; tables of CQL are `compound`, and views have no flags. */
function isCompact({ flags }: TableRow): boolean {
  return Array.isArray(flags) && (flags.includes('dense') || !flags.includes('compound'));
}

function isSuper({ flags }: TableRow): boolean {
  return Array.isArray(flags) && flags.includes('super');
}

/**
 * The columns that CQL shows. A compact table without clustering key has a hidden one, and its columns are listed as static; one
 * with a clustering key and no other column has a hidden column of type `empty`.
 */
function shownColumns(row: TableRow, columns: readonly ColumnRow[]): readonly ColumnRow[] {
  if (!isCompact(row)) return columns;
  if (row.flags?.includes('dense')) return columns.filter(({ type }) => type !== 'empty');
  return columns
    .filter(({ kind }) => kind === 'partition_key' || kind === 'static')
    .map((column) => (column.kind === 'static' ? { ...column, kind: 'regular' } : column));
}

function tableSchema(
  session: CqlSession,
  row: TableRow,
  { columns: listed, indexes, tablets }: TableRows,
  { masks, dropped, types }: Around,
): TableSchema {
  const { product } = session.server;
  const columns = product === 'cassandra' ? shownColumns(row, listed) : listed;
  const typeNames = types.map(({ name }) => name);
  const masksHere = masks.get(row.table_name);
  const droppedHere = dropped.get(row.table_name);
  const ofKind = (kind: string) =>
    columns.filter((column) => column.kind === kind).sort((one, other) => one.position - other.position);
  const column = ({ column_name, type }: ColumnRow): ColumnSchema => {
    const mask = masksHere?.get(column_name);
    const text = typeText(session, type, typeNames);
    return { name: column_name, type: text, ...(mask === undefined ? {} : { mask }) };
  };
  const byName = (one: ColumnSchema, other: ColumnSchema) => (one.name < other.name ? -1 : 1);
  return {
    name: row.table_name,
    id: String(row.id),
    partitionKey: ofKind('partition_key').map(column),
    clustering: ofKind('clustering').map((one) => ({
      ...column(one),
      order: one.clustering_order?.toLowerCase() === 'desc' ? 'desc' : 'asc',
    })),
    statics: ofKind('static').map(column).sort(byName),
    regulars: ofKind('regular').map(column).sort(byName),
    isCounter: columns.some(
      ({ kind, type }) => type === 'counter' && kind !== 'partition_key' && kind !== 'clustering',
    ),
    defaultTtlSeconds: row.default_time_to_live ?? 0,
    cassandraOptions: product === 'cassandra' ? cassandraOptions(row) : {},
    ...(product === 'yugabytedb'
      ? {
          yugabyte: {
            transactions: row.transactions?.enabled === 'true',
            ...(tablets === undefined ? {} : { tablets }),
          },
        }
      : {}),
    indexes: indexes
      .map((index) => indexSchema(session, index, columns.map(column)))
      .sort((one, other) => (one.name < other.name ? -1 : 1)),
    ...(product === 'cassandra' && isCompact(row) ? { isCompact: true } : {}),
    ...(droppedHere === undefined ? {} : { dropped: droppedHere }),
  };
}

function indexSchema(
  session: CqlSession,
  { index_name, kind, options, is_unique, transactions }: IndexRow,
  columns: readonly ColumnSchema[],
): IndexSchema {
  const { target = '', class_name, include, predicate, ...others } = options ?? {};
  return {
    name: index_name,
    target: session.server.product === 'yugabytedb' ? withQuotedColumns(target, columns) : target,
    ...(kind?.toUpperCase() === 'CUSTOM' && class_name !== undefined ? { className: class_name } : {}),
    options: others,
    unique: is_unique ?? false,
    include: include === undefined ? [] : splitNames(include, columns).map(unquoted),
    ...(predicate === undefined ? {} : { predicate }),
    ...(transactions === undefined || transactions === null
      ? {}
      : { transactions: transactions.enabled === 'true' }),
  };
}

function unquoted(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
}

/** Options by how CQL writes them; what a server doesn't list isn't given. */
const CASSANDRA_OPTIONS: Readonly<Record<string, 'text' | 'number' | 'map' | 'boolean'>> = {
  additional_write_policy: 'text',
  allow_auto_snapshot: 'boolean',
  bloom_filter_fp_chance: 'number',
  caching: 'map',
  cdc: 'boolean',
  comment: 'text',
  compaction: 'map',
  compression: 'map',
  crc_check_chance: 'number',
  gc_grace_seconds: 'number',
  incremental_backups: 'boolean',
  max_index_interval: 'number',
  memtable: 'text',
  memtable_flush_period_in_ms: 'number',
  min_index_interval: 'number',
  read_repair: 'text',
  speculative_retry: 'text',
};

function cassandraOptions(row: TableRow): Readonly<Record<string, string>> {
  const options: Record<string, string> = {};
  for (const [name, kind] of Object.entries(CASSANDRA_OPTIONS)) {
    const value = row[name];
    if (value === null || value === undefined) continue;
    options[name] =
      kind === 'text' ? literal(String(value)) : kind === 'map' ? mapLiteral(value) : String(value);
  }
  return options;
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function mapLiteral(value: unknown): string {
  const entries = Object.entries(value as Readonly<Record<string, string>>);
  return `{${entries.map(([name, text]) => `${literal(name)}: ${literal(text)}`).join(', ')}}`;
}

/** Tablets by table; empty where the server has none. */
async function tabletCounts(
  session: CqlSession,
  keyspace: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  if (session.server.product !== 'yugabytedb') return counts;
  const rows = await session.query<{ table_name: string }>(
    'list the tablets',
    'SELECT table_name FROM system.partitions WHERE keyspace_name = ?',
    [keyspace],
    signal,
  );
  for (const { table_name } of rows) counts.set(table_name, (counts.get(table_name) ?? 0) + 1);
  return counts;
}
