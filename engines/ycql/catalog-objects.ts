import { isInvalid } from './errors.ts';
import type { AggregateSchema, FunctionSchema, MaskSchema } from './schema.ts';
import type { CqlSession } from './session.ts';

/*
 * What Cassandra has besides tables, types and indexes. YugabyteDB has none of it.
 */

interface ViewRow extends Readonly<Record<string, unknown>> {
  readonly view_name: string;
  readonly id: unknown;
  readonly base_table_name: string;
  readonly where_clause: string;
}

interface FunctionRow {
  readonly function_name: string;
  readonly argument_types: readonly string[] | null;
  readonly argument_names: readonly string[] | null;
  readonly body: string;
  readonly called_on_null_input: boolean;
  readonly language: string;
  readonly return_type: string;
}

interface AggregateRow {
  readonly aggregate_name: string;
  readonly argument_types: readonly string[] | null;
  readonly state_func: string;
  readonly state_type: string;
  readonly final_func: string | null;
  readonly initcond: string | null;
}

interface MaskRow {
  readonly table_name: string;
  readonly column_name: string;
  readonly function_keyspace: string;
  readonly function_name: string;
  readonly function_argument_types: readonly string[] | null;
  readonly function_argument_values: readonly string[] | null;
  readonly function_argument_nulls: readonly boolean[] | null;
}

/** Rows of a table of `system_schema`. None on YugabyteDB and on older servers, which lack the table. */
async function rowsIfThere<Row extends object>(
  session: CqlSession,
  table: string,
  keyspace: string,
  signal: AbortSignal,
): Promise<readonly Row[]> {
  if (session.server.product !== 'cassandra') return [];
  try {
    return await session.query<Row>(
      `list the ${table} of keyspace ${keyspace}`,
      `SELECT * FROM system_schema.${table} WHERE keyspace_name = ?`,
      [keyspace],
      signal,
    );
  } catch (error) {
    if (error instanceof Error && isInvalid(error.cause)) return [];
    throw error;
  }
}

/** Materialized views of a keyspace, as `system_schema` has them. */
export function readViewRows(
  session: CqlSession,
  keyspace: string,
  signal: AbortSignal,
): Promise<readonly ViewRow[]> {
  return rowsIfThere<ViewRow>(session, 'views', keyspace, signal);
}

/** User-defined functions of a keyspace, each overload once. */
export async function readFunctions(
  session: CqlSession,
  keyspace: string,
  signal: AbortSignal,
): Promise<readonly FunctionSchema[]> {
  const rows = await rowsIfThere<FunctionRow>(session, 'functions', keyspace, signal);
  return rows.map((row) => ({
    name: row.function_name,
    arguments: (row.argument_types ?? []).map((type, index) => ({
      name: row.argument_names?.[index] ?? `arg${index}`,
      type: withoutFrozen(type),
    })),
    calledOnNull: row.called_on_null_input,
    returns: withoutFrozen(row.return_type),
    language: row.language,
    body: row.body,
  }));
}

/** User-defined aggregates of a keyspace, each overload once. */
export async function readAggregates(
  session: CqlSession,
  keyspace: string,
  signal: AbortSignal,
): Promise<readonly AggregateSchema[]> {
  const rows = await rowsIfThere<AggregateRow>(session, 'aggregates', keyspace, signal);
  return rows.map((row) => ({
    name: row.aggregate_name,
    argumentTypes: (row.argument_types ?? []).map(withoutFrozen),
    stateFunction: row.state_func,
    stateType: withoutFrozen(row.state_type),
    ...(row.final_func === null ? {} : { finalFunction: row.final_func }),
    ...(row.initcond === null ? {} : { initial: row.initcond }),
  }));
}

/** Masks of columns, by table and column: what readers without the permission UNMASK see. */
export async function readMasks(
  session: CqlSession,
  keyspace: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ReadonlyMap<string, MaskSchema>>> {
  const masks = new Map<string, Map<string, MaskSchema>>();
  for (const row of await rowsIfThere<MaskRow>(session, 'column_masks', keyspace, signal)) {
    const ofTable = masks.get(row.table_name) ?? new Map<string, MaskSchema>();
    masks.set(row.table_name, ofTable);
    ofTable.set(row.column_name, {
      ...(row.function_keyspace === 'system' ? {} : { keyspace: row.function_keyspace }),
      name: row.function_name,
      arguments: (row.function_argument_types ?? []).map((type, index) =>
        row.function_argument_nulls?.[index] === true
          ? null
          : { type, value: row.function_argument_values?.[index] ?? '' },
      ),
    });
  }
  return masks;
}

/** Names of the triggers of a keyspace. They are Java classes on the nodes, so no backup over CQL holds them. */
export async function readTriggerNames(
  session: CqlSession,
  keyspace: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const rows = await rowsIfThere<{ table_name: string; trigger_name: string }>(
    session,
    'triggers',
    keyspace,
    signal,
  );
  return rows.map(({ table_name, trigger_name }) => `${trigger_name} on ${keyspace}.${table_name}`);
}

/** When columns were dropped, by table. A column that was dropped and added again has lost its values. */
export async function readDroppedColumns(
  session: CqlSession,
  keyspace: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await rowsIfThere<{ table_name: string; column_name: string; dropped_time: Date | null }>(
    session,
    'dropped_columns',
    keyspace,
    signal,
  );
  const dropped = new Map<string, string[]>();
  for (const { table_name, column_name, dropped_time } of rows) {
    const ofTable = dropped.get(table_name) ?? [];
    ofTable.push(`${column_name} ${dropped_time?.toISOString() ?? ''}`);
    dropped.set(table_name, ofTable);
  }
  return new Map([...dropped].map(([table, columns]) => [table, columns.sort()]));
}

/** Removes `frozen<…>` around a whole type: arguments and results are always frozen, and CREATE FUNCTION refuses the word there. */
function withoutFrozen(type: string): string {
  return type.startsWith('frozen<') && type.endsWith('>') ? type.slice('frozen<'.length, -1) : type;
}
