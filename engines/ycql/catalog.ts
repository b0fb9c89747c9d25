import { permanent } from '../../model/errors.ts';
import type { NamePatterns, YcqlSource } from '../../model/pipeline.ts';
import { isSystemKeyspace } from '../../model/system-keyspaces.ts';
import { nameMatcher } from '../name-patterns.ts';
import {
  readAggregates,
  readDroppedColumns,
  readFunctions,
  readMasks,
  readTriggerNames,
  readViewRows,
} from './catalog-objects.ts';
import {
  type Around,
  type ColumnRow,
  type IndexRow,
  isSuper,
  type TableRow,
  type TableRows,
  tableSchema,
  typeText,
} from './catalog-tables.ts';
import { parseType, usedTypes } from './cql-type.ts';
import { isJournal } from './journal-table.ts';
import type { KeyspaceSchema, TableSchema, UserType } from './schema.ts';
import type { CqlSession } from './session.ts';

interface KeyspaceRow {
  readonly keyspace_name: string;
  readonly durable_writes: boolean | null;
  readonly replication: Readonly<Record<string, string>> | null;
}

/** The keyspaces and tables that the source selects. Throws `YCQL_NO_KEYSPACE`, `YCQL_NO_TABLE` (permanent). Each lists the names that exist. */
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

/**
 * Throws `YCQL_NO_TABLE` (permanent) for a name without wildcards that no table has, and if nothing matches at all. A single glob may match
 * nothing.
 */
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

/** One whole keyspace; undefined if there is none of that name. */
export async function findKeyspace(
  session: CqlSession,
  name: string,
  signal: AbortSignal,
): Promise<KeyspaceSchema | undefined> {
  const row = (await listKeyspaces(session, signal)).find(({ keyspace_name }) => keyspace_name === name);
  return row === undefined ? undefined : readKeyspace(session, row, { include: [], exclude: [] }, signal);
}

/** One table as it is now, with the types of its keyspace; undefined if there is none. */
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

/** One table as it is now; undefined if there is none. */
export async function readTable(
  session: CqlSession,
  keyspace: string,
  name: string,
  signal: AbortSignal,
): Promise<TableSchema | undefined> {
  return (await readDefinition(session, keyspace, name, signal))?.table;
}

/** The types of a keyspace, ordered so that each needs only those before it. */
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
  const matching = tables.filter(
    ({ table_name }) => !indexTables.has(table_name) && matcher.matches(`${keyspace}.${table_name}`),
  );
  const columnsOf = (name: string) => columns.filter(({ table_name }) => table_name === name);
  const isOurs = ({ table_name }: TableRow) => isJournal(table_name, columnsOf(table_name));
  const selected = matching.filter((row) => !isOurs(row));
  const tablets = await tabletCounts(session, keyspace, signal);
  const around: Around = {
    masks: await readMasks(session, keyspace, signal),
    dropped: await readDroppedColumns(session, keyspace, signal),
    types,
  };
  const rowsOfTable = (name: string): TableRows => ({
    columns: columnsOf(name),
    indexes: indexes.filter(({ table_name }) => table_name === name),
    tablets: tablets.get(name),
  });
  const carried = selected.filter((row) => !isSuper(row));
  const views = (await readViewRows(session, keyspace, signal)).filter(
    ({ view_name, base_table_name }) =>
      carried.some(({ table_name }) => table_name === base_table_name) &&
      !nameMatcher(patterns).excluded(`${keyspace}.${view_name}`),
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
      ...matching
        .filter(isOurs)
        .map(({ table_name }) => `${keyspace}.${table_name}, the journal of a restore that has not ended`),
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

/** Number of tablets by table; empty on a server that has none. */
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
