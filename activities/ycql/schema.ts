/*
 * The schema of a keyspace as plain data: what `system_schema` says, as far as a restore needs it. It stands in the backup as
 * JSON, beside the same as CQL for people.
 */

export interface KeyspaceSchema {
  readonly keyspace: string;
  readonly replication: Readonly<Record<string, string>>;
  readonly durableWrites: boolean;
  /** In an order in which each needs only those before it. */
  readonly types: readonly UserType[];
  readonly tables: readonly TableSchema[];
  /** Objects that the backup doesn't carry, in words. */
  readonly notCarried: readonly string[];
}

export interface UserType {
  readonly name: string;
  readonly fields: readonly { readonly name: string; readonly type: string }[];
}

export interface ColumnSchema {
  readonly name: string;
  readonly type: string;
}

export interface TableSchema {
  readonly name: string;
  /** The server's id of the table: it changes when the table is dropped and created again. */
  readonly id: string;
  readonly partitionKey: readonly ColumnSchema[];
  readonly clustering: readonly (ColumnSchema & { readonly order: 'asc' | 'desc' })[];
  readonly statics: readonly ColumnSchema[];
  readonly regulars: readonly ColumnSchema[];
  readonly isCounter: boolean;
  readonly defaultTtlSeconds: number;
  /** Options that only Cassandra has, as CQL literals by name. */
  readonly cassandraOptions: Readonly<Record<string, string>>;
  /** What only YugabyteDB has. */
  readonly yugabyte?: { readonly transactions: boolean; readonly tablets?: number };
  readonly indexes: readonly IndexSchema[];
}

export interface IndexSchema {
  readonly name: string;
  /** As `system_schema.indexes` has it: a column, `values(m)`, `(a, b), c`. */
  readonly target: string;
  /** Class of a custom index, absent for the server's usual one. */
  readonly className?: string;
  readonly options: Readonly<Record<string, string>>;
  readonly unique: boolean;
  /** Columns that the index covers besides. */
  readonly include: readonly string[];
  /** Condition of a partial index. */
  readonly predicate?: string;
  readonly transactions?: boolean;
}

/** Columns that are no part of the primary key. */
export function valueColumns({ statics, regulars }: TableSchema): readonly ColumnSchema[] {
  return [...statics, ...regulars];
}

/** All columns: key, statics, others. */
export function allColumns(table: TableSchema): readonly ColumnSchema[] {
  return [...table.partitionKey, ...table.clustering, ...valueColumns(table)];
}

/** What must stay as it is while a table is read: its id, columns and types. */
export function fingerprintOf(table: TableSchema): string {
  const columns = (list: readonly ColumnSchema[]) => list.map(({ name, type }) => [name, type]);
  const { id, partitionKey, clustering, statics, regulars } = table;
  return JSON.stringify([
    id,
    columns(partitionKey),
    columns(clustering),
    columns(statics),
    columns(regulars),
  ]);
}
