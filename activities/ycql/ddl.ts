import { optionMap, quoteName, quoteTable, quoteText } from './identifiers.ts';
import type { ColumnSchema, IndexSchema, KeyspaceSchema, TableSchema, UserType } from './schema.ts';
import type { Server } from './session.ts';

/** Statements of CQL that create what a schema describes, in keyspace `into`. Pure. */

export function createKeyspace(
  { replication, durableWrites }: Pick<KeyspaceSchema, 'replication' | 'durableWrites'>,
  into: string,
): string {
  return `CREATE KEYSPACE ${quoteName(into)} WITH replication = ${optionMap(replication)} AND durable_writes = ${durableWrites}`;
}

export function createType({ name, fields }: UserType, into: string): string {
  const list = fields.map((field) => `${quoteName(field.name)} ${field.type}`).join(', ');
  return `CREATE TYPE ${quoteTable(into, name)} (${list})`;
}

export function createTable(table: TableSchema, into: string, product: Server['product']): string {
  const { partitionKey, clustering, statics, regulars } = table;
  const column = ({ name, type }: ColumnSchema) => `${quoteName(name)} ${type}`;
  const columns = [
    ...partitionKey.map(column),
    ...clustering.map(column),
    ...statics.map((one) => `${column(one)} static`),
    ...regulars.map(column),
  ];
  const partition = `(${partitionKey.map(({ name }) => quoteName(name)).join(', ')})`;
  const key = [partition, ...clustering.map(({ name }) => quoteName(name))].join(', ');
  const options = tableOptions(table, product);
  const clauses = options.length === 0 ? '' : ` WITH ${options.join(' AND ')}`;
  return `CREATE TABLE ${quoteTable(into, table.name)} (${columns.join(', ')}, PRIMARY KEY (${key}))${clauses}`;
}

function tableOptions(table: TableSchema, product: Server['product']): readonly string[] {
  const { clustering, defaultTtlSeconds, yugabyte, cassandraOptions } = table;
  const options: string[] = [];
  if (clustering.some(({ order }) => order === 'desc')) {
    const order = clustering.map(({ name, order: each }) => `${quoteName(name)} ${each.toUpperCase()}`);
    options.push(`CLUSTERING ORDER BY (${order.join(', ')})`);
  }
  if (defaultTtlSeconds > 0) options.push(`default_time_to_live = ${defaultTtlSeconds}`);
  if (product === 'cassandra') {
    options.push(...Object.entries(cassandraOptions).map(([name, value]) => `${name} = ${value}`));
  } else {
    if (yugabyte?.transactions === true) options.push(`transactions = {'enabled': 'true'}`);
    if (yugabyte?.tablets !== undefined) options.push(`tablets = ${yugabyte.tablets}`);
  }
  return options;
}

export function createIndex(index: IndexSchema, table: TableSchema, into: string): string {
  const { className, unique, include, predicate, transactions } = index;
  const kind = className === undefined ? (unique ? 'UNIQUE INDEX' : 'INDEX') : 'CUSTOM INDEX';
  const parts = [
    `CREATE ${kind} ${quoteName(index.name)} ON ${quoteTable(into, table.name)} (${targetOf(index, table)})`,
  ];
  if (include.length > 0) parts.push(`INCLUDE (${include.map(quoteName).join(', ')})`);
  if (predicate !== undefined) parts.push(`WHERE ${predicate}`);
  if (className !== undefined) {
    parts.push(`USING ${quoteText(className)}`);
    if (Object.keys(index.options).length > 0) parts.push(`WITH OPTIONS = ${optionMap(index.options)}`);
  }
  if (transactions === false)
    parts.push(`WITH transactions = {'enabled': 'false', 'consistency_level': 'user_enforced'}`);
  return parts.join(' ');
}

/** Cassandra writes a column's name quoted only where it must be; YugabyteDB writes keys as `(a, b), c`. */
function targetOf({ target }: IndexSchema, table: TableSchema): string {
  const columns = [...table.partitionKey, ...table.clustering, ...table.statics, ...table.regulars];
  if (columns.some(({ name }) => name === target)) return quoteName(target);
  return target;
}

/** The whole schema as a script, for people and for a restore without Holdfast. */
export function schemaScript(schema: KeyspaceSchema, product: Server['product']): string {
  const { keyspace, types, tables, notCarried } = schema;
  const statements = [
    createKeyspace(schema, keyspace),
    ...types.map((type) => createType(type, keyspace)),
    ...tables.map((table) => createTable(table, keyspace, product)),
    ...tables.flatMap((table) => table.indexes.map((index) => createIndex(index, table, keyspace))),
  ];
  const notes = notCarried.map((what) => `-- not carried: ${what.replaceAll('\n', ' ')}\n`);
  return `${notes.join('')}${statements.map((statement) => `${statement};\n`).join('\n')}`;
}
