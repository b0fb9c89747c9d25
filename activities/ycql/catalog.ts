import { permanent } from '../../model/errors.ts';
import type { NamePatterns, YcqlSource } from '../../model/pipeline.ts';
import { nameMatcher } from '../name-patterns.ts';
import { parseType, usedTypes } from './cql-type.ts';
import { isInvalid } from './errors.ts';
import { isSystemKeyspace } from './raw-pages.ts';
import type { ColumnSchema, IndexSchema, KeyspaceSchema, TableSchema, UserType } from './schema.ts';
import type { CqlSession } from './session.ts';

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

/** One table as it is now, undefined where there is none. */
export async function readTable(
  session: CqlSession,
  keyspace: string,
  name: string,
  signal: AbortSignal,
): Promise<TableSchema | undefined> {
  const read = <Row extends object>(table: string) =>
    session.query<Row>(
      `read the definition of ${keyspace}.${name}`,
      `SELECT * FROM system_schema.${table} WHERE keyspace_name = ? AND table_name = ?`,
      [keyspace, name],
      signal,
    );
  const [row] = await read<TableRow>('tables');
  if (row === undefined) return undefined;
  return tableSchema(
    session,
    row,
    await read<ColumnRow>('columns'),
    await read<IndexRow>('indexes'),
    undefined,
  );
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
  const [types, tables, columns, indexes] = [
    await read<TypeRow>('types'),
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
  return {
    keyspace,
    replication: row.replication ?? {},
    durableWrites: row.durable_writes ?? true,
    types: inOrderOfNeed(types.map(userType)),
    tables: selected
      .map((table) =>
        tableSchema(
          session,
          table,
          columns.filter(({ table_name }) => table_name === table.table_name),
          indexes.filter(({ table_name }) => table_name === table.table_name),
          tablets.get(table.table_name),
        ),
      )
      .sort((one, other) => one.name.localeCompare(other.name)),
    notCarried: await notCarried(session, keyspace, signal),
  };
}

interface TypeRow {
  readonly type_name: string;
  readonly field_names: readonly string[] | null;
  readonly field_types: readonly string[] | null;
}

function userType({ type_name, field_names, field_types }: TypeRow): UserType {
  return {
    name: type_name,
    fields: (field_names ?? []).map((name, index) => ({ name, type: field_types?.[index] ?? '' })),
  };
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

function tableSchema(
  session: CqlSession,
  row: TableRow,
  columns: readonly ColumnRow[],
  indexes: readonly IndexRow[],
  tablets: number | undefined,
): TableSchema {
  const ofKind = (kind: string) =>
    columns.filter((column) => column.kind === kind).sort((one, other) => one.position - other.position);
  const column = ({ column_name, type }: ColumnRow): ColumnSchema => ({ name: column_name, type });
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
    cassandraOptions: session.server.product === 'cassandra' ? cassandraOptions(row) : {},
    ...(session.server.product === 'yugabytedb'
      ? {
          yugabyte: {
            transactions: row.transactions?.enabled === 'true',
            ...(tablets === undefined ? {} : { tablets }),
          },
        }
      : {}),
    indexes: indexes.map(indexSchema).sort((one, other) => (one.name < other.name ? -1 : 1)),
  };
}

function indexSchema({ index_name, kind, options, is_unique, transactions }: IndexRow): IndexSchema {
  const { target = '', class_name, include, predicate, ...others } = options ?? {};
  return {
    name: index_name,
    target,
    ...(kind?.toUpperCase() === 'CUSTOM' && class_name !== undefined ? { className: class_name } : {}),
    options: others,
    unique: is_unique ?? false,
    include: include === undefined ? [] : include.split(',').map((name) => unquoted(name.trim())),
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
  bloom_filter_fp_chance: 'number',
  caching: 'map',
  cdc: 'boolean',
  comment: 'text',
  compaction: 'map',
  compression: 'map',
  crc_check_chance: 'number',
  gc_grace_seconds: 'number',
  max_index_interval: 'number',
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

/** What Cassandra has and YCQL hasn't, by its table in `system_schema`. */
const OTHER_OBJECTS: Readonly<Record<string, readonly [column: string, what: string]>> = {
  views: ['view_name', 'materialized view'],
  functions: ['function_name', 'function'],
  aggregates: ['aggregate_name', 'aggregate'],
  triggers: ['trigger_name', 'trigger'],
};

async function notCarried(
  session: CqlSession,
  keyspace: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (session.server.product !== 'cassandra') return [];
  const found: string[] = [];
  for (const [table, [column, what]] of Object.entries(OTHER_OBJECTS)) {
    try {
      const rows = await session.query<Readonly<Record<string, unknown>>>(
        `list the ${table} of keyspace ${keyspace}`,
        `SELECT * FROM system_schema.${table} WHERE keyspace_name = ?`,
        [keyspace],
        signal,
      );
      found.push(...rows.map((row) => `${what} ${keyspace}.${String(row[column])}`));
    } catch (error) {
      // A server without the table has no such objects.
      if (!(error instanceof Error) || !isInvalid(error.cause)) throw error;
    }
  }
  return found;
}
