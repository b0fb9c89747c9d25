import { defined } from '../../model/defined.ts';
import type { readDroppedColumns, readMasks } from './catalog-objects.ts';
import type { ColumnSchema, IndexSchema, TableSchema, UserType } from './schema.ts';
import type { CqlSession } from './session.ts';
import { splitNames, withQuotedColumns, withQuotedTypes } from './unquoted-names.ts';

/** A table or view as `system_schema` has it. */
export interface TableRow extends Readonly<Record<string, unknown>> {
  readonly table_name: string;
  readonly id: unknown;
  readonly flags?: readonly string[] | null;
  readonly default_time_to_live?: number | null;
  readonly transactions?: Readonly<Record<string, string>> | null;
}

/** A column as `system_schema.columns` has it. */
export interface ColumnRow {
  readonly table_name: string;
  readonly column_name: string;
  readonly clustering_order: string | null;
  readonly kind: string;
  readonly position: number;
  readonly type: string;
}

/** An index as `system_schema.indexes` has it. */
export interface IndexRow {
  readonly table_name: string;
  readonly index_name: string;
  readonly kind: string | null;
  readonly options: Readonly<Record<string, string>> | null;
  readonly is_unique?: boolean | null;
  readonly transactions?: Readonly<Record<string, string>> | null;
}

/** The rows of `system_schema` that belong to one table. */
export interface TableRows {
  readonly columns: readonly ColumnRow[];
  readonly indexes: readonly IndexRow[];
  readonly tablets?: number | undefined;
}

/** The part of a keyspace that belongs to its tables. */
export interface Around {
  readonly masks: Awaited<ReturnType<typeof readMasks>>;
  readonly dropped: Awaited<ReturnType<typeof readDroppedColumns>>;
  readonly types: readonly UserType[];
}

/** True for a table of the Thrift era. Tables of CQL have the flag `compound`, and views have no flags. */
function isCompact({ flags }: TableRow): boolean {
  return Array.isArray(flags) && (flags.includes('dense') || !flags.includes('compound'));
}

/** Whether a table is a super column family of the Thrift era, which Holdfast doesn't carry. */
export function isSuper({ flags }: TableRow): boolean {
  return Array.isArray(flags) && flags.includes('super');
}

/**
 * The columns that CQL shows. A compact table without clustering key has a hidden column, and its other columns are listed as static. A compact
 * table with a clustering key and no other column has a hidden column of type `empty`.
 */
function shownColumns(row: TableRow, columns: readonly ColumnRow[]): readonly ColumnRow[] {
  if (!isCompact(row)) return columns;
  if (row.flags?.includes('dense')) return columns.filter(({ type }) => type !== 'empty');
  return columns
    .filter(({ kind }) => kind === 'partition_key' || kind === 'static')
    .map((column) => (column.kind === 'static' ? { ...column, kind: 'regular' } : column));
}

/** Converts what `system_schema` says of a table to Holdfast's schema. */
export function tableSchema(
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
    return { name: column_name, type: text, ...defined({ mask }) };
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
            ...defined({ tablets }),
          },
        }
      : {}),
    indexes: indexes
      .map((index) => indexSchema(session, index, columns.map(column)))
      .sort((one, other) => (one.name < other.name ? -1 : 1)),
    ...(product === 'cassandra' && isCompact(row) ? { isCompact: true } : {}),
    ...defined({ dropped: droppedHere }),
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
    ...defined({ predicate }),
    ...(transactions === undefined || transactions === null
      ? {}
      : { transactions: transactions.enabled === 'true' }),
  };
}

function unquoted(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
}

/** How CQL writes each option. Options that a server doesn't list are left out. */
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

/** A type in CQL's own notation. One that can't be parsed is left as it is, and refused by name later. */
export function typeText(session: CqlSession, text: string, typeNames: readonly string[]): string {
  if (session.server.product !== 'yugabytedb') return text;
  try {
    return withQuotedTypes(text, typeNames);
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}
