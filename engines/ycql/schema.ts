import { parseType, usedTypes } from './cql-type.ts';

/*
 * The schema of a keyspace as plain data: what `system_schema` says, as far as a restore needs it. The backup holds it as JSON, and as CQL for
 * people.
 */

/** A keyspace and the selected objects in it. */
export interface KeyspaceSchema {
  readonly keyspace: string;
  readonly replication: Readonly<Record<string, string>>;
  readonly durableWrites: boolean;
  /** Ordered so that each needs only those before it. */
  readonly types: readonly UserType[];
  readonly tables: readonly TableSchema[];
  /** One entry for each overload. Absent in backups made before Holdfast carried functions. */
  readonly functions?: readonly FunctionSchema[];
  readonly aggregates?: readonly AggregateSchema[];
  /** Materialized views of the selected tables. */
  readonly views?: readonly ViewSchema[];
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
  /** What readers without the permission UNMASK see instead of its values. */
  readonly mask?: MaskSchema;
}

export interface MaskSchema {
  /** Keyspace of a user-defined function; absent for the server's own. */
  readonly keyspace?: string;
  readonly name: string;
  /** The arguments after the column itself, as text; null: CQL's null. */
  readonly arguments: readonly ({ readonly type: string; readonly value: string } | null)[];
}

export interface FunctionSchema {
  readonly name: string;
  readonly arguments: readonly { readonly name: string; readonly type: string }[];
  readonly calledOnNull: boolean;
  readonly returns: string;
  readonly language: string;
  readonly body: string;
}

export interface AggregateSchema {
  readonly name: string;
  readonly argumentTypes: readonly string[];
  readonly stateFunction: string;
  readonly stateType: string;
  readonly finalFunction?: string;
  /** A literal of CQL. */
  readonly initial?: string;
}

export interface ViewSchema {
  /** The view's own columns and options: key, clustering order, other columns. */
  readonly table: TableSchema;
  readonly base: string;
  readonly allColumns: boolean;
  /** Condition, as the server has it. */
  readonly where: string;
}

export interface TableSchema {
  readonly name: string;
  /** The server's id of the table, which changes when the table is dropped and created again. */
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
  /** COMPACT STORAGE. Rows of such a table have no marker of their own. Columns that CQL hides are left out here. */
  readonly isCompact?: boolean;
  /** Dropped columns, each as `name time` (ISO 8601). Absent: none, or the backup is older than this field. */
  readonly dropped?: readonly string[];
}

export interface IndexSchema {
  readonly name: string;
  /** As `system_schema.indexes` has it: a column, `values(m)`, `(a, b), c`. */
  readonly target: string;
  /** Class of a custom index, absent for the server's usual one. */
  readonly className?: string;
  readonly options: Readonly<Record<string, string>>;
  readonly unique: boolean;
  /** Further columns that the index includes. */
  readonly include: readonly string[];
  /** Condition of a partial index. */
  readonly predicate?: string;
  readonly transactions?: boolean;
}

/** The columns outside the primary key. */
export function valueColumns({ statics, regulars }: TableSchema): readonly ColumnSchema[] {
  return [...statics, ...regulars];
}

/** All columns: key, statics, others. */
export function allColumns(table: TableSchema): readonly ColumnSchema[] {
  return [...table.partitionKey, ...table.clustering, ...valueColumns(table)];
}

/**
 * What may not change while a table is read: its id, its columns with their types and masks, which columns were dropped, and the definition of
 * every user-defined type that its columns use.
 */
export function fingerprintOf(table: TableSchema, types: readonly UserType[]): string {
  const columns = (list: readonly ColumnSchema[]) => list.map(({ name, type, mask }) => [name, type, mask]);
  const { id, partitionKey, clustering, statics, regulars, dropped = [] } = table;
  return JSON.stringify([
    id,
    columns(partitionKey),
    columns(clustering),
    clustering.map(({ order }) => order),
    columns(statics),
    columns(regulars),
    dropped,
    typesBelow(table, types),
  ]);
}

/** The user-defined types that a table's columns use, and those that these use, sorted by name. */
export function typesBelow(table: TableSchema, types: readonly UserType[]): readonly UserType[] {
  const needed = new Map<string, UserType>();
  const add = (text: string): void => {
    for (const name of usedTypes(parseType(text))) {
      const found = types.find((type) => type.name === name);
      if (found === undefined || needed.has(name)) continue;
      needed.set(name, found);
      for (const field of found.fields) add(field.type);
    }
  };
  for (const { type } of allColumns(table)) add(type);
  return [...needed.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
}
