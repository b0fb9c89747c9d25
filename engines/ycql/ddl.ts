import { optionMap, quoteName, quoteTable, quoteText } from './identifiers.ts';
import type { Server } from './nodes.ts';
import {
  type AggregateSchema,
  allColumns,
  type ColumnSchema,
  type FunctionSchema,
  type IndexSchema,
  type KeyspaceSchema,
  type MaskSchema,
  type TableSchema,
  type UserType,
  type ViewSchema,
} from './schema.ts';

/** CQL statements that create what a schema describes, in keyspace `into`. Pure. */

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
  const column = ({ name, type, mask }: ColumnSchema, kind = '') =>
    `${quoteName(name)} ${type}${kind}${mask === undefined ? '' : ` MASKED WITH ${maskCall(mask, into)}`}`;
  const columns = [
    ...partitionKey.map((one) => column(one)),
    ...clustering.map((one) => column(one)),
    ...statics.map((one) => column(one, ' static')),
    ...regulars.map((one) => column(one)),
  ];
  const key = primaryKey(table);
  const options = tableOptions(table, product);
  const clauses = options.length === 0 ? '' : ` WITH ${options.join(' AND ')}`;
  return `CREATE TABLE ${quoteTable(into, table.name)} (${columns.join(', ')}, PRIMARY KEY (${key}))${clauses}`;
}

function primaryKey({ partitionKey, clustering }: TableSchema): string {
  const partition = `(${partitionKey.map(({ name }) => quoteName(name)).join(', ')})`;
  return [partition, ...clustering.map(({ name }) => quoteName(name))].join(', ');
}

/** Types whose values CQL writes without quotes. */
const BARE = new Set([
  'bigint',
  'blob',
  'boolean',
  'decimal',
  'double',
  'float',
  'int',
  'smallint',
  'timeuuid',
  'tinyint',
  'uuid',
  'varint',
]);

/** The call of a mask's function. A user-defined function is in the same keyspace. */
function maskCall({ keyspace, name, arguments: given }: MaskSchema, into: string): string {
  const values = given.map((argument) =>
    argument === null ? 'null' : BARE.has(argument.type) ? argument.value : quoteText(argument.value),
  );
  const called = keyspace === undefined ? quoteName(name) : quoteTable(into, name);
  return `${called}(${values.join(', ')})`;
}

export function createFunction(definition: FunctionSchema, into: string): string {
  const { name, arguments: given, calledOnNull, returns, language, body } = definition;
  const list = given.map((argument) => `${quoteName(argument.name)} ${argument.type}`).join(', ');
  const onNull = calledOnNull ? 'CALLED' : 'RETURNS NULL';
  return `CREATE FUNCTION ${quoteTable(into, name)} (${list}) ${onNull} ON NULL INPUT RETURNS ${returns} LANGUAGE ${language} AS ${quoteText(body)}`;
}

export function createAggregate(definition: AggregateSchema, into: string): string {
  const { name, argumentTypes, stateFunction, stateType, finalFunction, initial } = definition;
  const parts = [
    `CREATE AGGREGATE ${quoteTable(into, name)} (${argumentTypes.join(', ')}) SFUNC ${quoteName(stateFunction)} STYPE ${stateType}`,
    ...(finalFunction === undefined ? [] : [`FINALFUNC ${quoteName(finalFunction)}`]),
    ...(initial === undefined ? [] : [`INITCOND ${initial}`]),
  ];
  return parts.join(' ');
}

export function createView({ table, base, allColumns: all, where }: ViewSchema, into: string): string {
  const columns = all
    ? '*'
    : allColumns(table)
        .map(({ name }) => quoteName(name))
        .join(', ');
  const options = tableOptions(table, 'cassandra').filter(
    // A view's cells expire as its base table's do, and the server refuses a default for a view.
    (option) => !option.startsWith('default_time_to_live'),
  );
  const clauses = options.length === 0 ? '' : ` WITH ${options.join(' AND ')}`;
  return `CREATE MATERIALIZED VIEW ${quoteTable(into, table.name)} AS SELECT ${columns} FROM ${quoteTable(into, base)} WHERE ${where} PRIMARY KEY (${primaryKey(table)})${clauses}`;
}

function tableOptions(table: TableSchema, product: Server['product']): readonly string[] {
  const { clustering, defaultTtlSeconds, yugabyte, cassandraOptions } = table;
  const options: string[] = table.isCompact === true && product === 'cassandra' ? ['COMPACT STORAGE'] : [];
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

/**
 * The quoted target of an index. Cassandra quotes a column's name only if it must, so an unquoted `values(m)` is never a column. YugabyteDB doesn't
 * quote, and writes keys as `(a, b), c`.
 */
function targetOf({ target }: IndexSchema, table: TableSchema): string {
  const columns = [...table.partitionKey, ...table.clustering, ...table.statics, ...table.regulars];
  const mayBeColumn = table.yugabyte !== undefined || /^\w+$/.test(target);
  return mayBeColumn && columns.some(({ name }) => name === target) ? quoteName(target) : target;
}

/** The whole schema as a script, for people and for a restore without Holdfast. */
export function schemaScript(schema: KeyspaceSchema, product: Server['product']): string {
  const { keyspace, types, tables, notCarried, functions = [], aggregates = [], views = [] } = schema;
  const statements = [
    createKeyspace(schema, keyspace),
    ...types.map((type) => createType(type, keyspace)),
    ...functions.map((one) => createFunction(one, keyspace)),
    ...aggregates.map((one) => createAggregate(one, keyspace)),
    ...tables.map((table) => createTable(table, keyspace, product)),
    ...views.map((view) => createView(view, keyspace)),
    ...tables.flatMap((table) => table.indexes.map((index) => createIndex(index, table, keyspace))),
  ];
  const notes = notCarried.map((what) => `-- not carried: ${what.replaceAll('\n', ' ')}\n`);
  return `${notes.join('')}${statements.map((statement) => `${statement};\n`).join('\n')}`;
}
