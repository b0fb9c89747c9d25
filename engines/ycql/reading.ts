import { permanent } from '../../model/errors.ts';
import type { CqlPageColumn } from '../../repository/backups/cql-pages.ts';
import { int32, int64 } from './bytes.ts';
import { isMultiCell, parseType } from './cql-type.ts';
import { selectStatement } from './dialect.ts';
import { isInvalid } from './errors.ts';
import { quoteName } from './identifiers.ts';
import type { Server } from './nodes.ts';
import type { RawPage } from './raw-pages.ts';
import { type ColumnSchema, type TableSchema, valueColumns } from './schema.ts';
import type { CqlSession } from './session.ts';

/** What a backup reads of a table, and what the server can't tell it. */
interface TableReading {
  /** CQL selectors, in the order of a row's cells. */
  readonly selectors: readonly string[];
  readonly losses: readonly string[];
}

/**
 * Finds out what the server reports of a table besides the values: write time and TTL of each column. Asks for all together, and for each alone
 * only if that is refused.
 */
export async function planReading(
  session: CqlSession,
  keyspace: string,
  table: TableSchema,
  writeTimes: 'auto' | 'always' | 'none',
  signal: AbortSignal,
): Promise<TableReading> {
  const keys = [...table.partitionKey, ...table.clustering].map(({ name }) => quoteName(name));
  const values = valueColumns(table);
  const plain = [...keys, ...values.map(({ name }) => quoteName(name))];
  if (table.isCounter) {
    return { selectors: plain, losses: ['time of writing of counters: a restore counts them up anew'] };
  }
  const wanted = values.flatMap(({ name }) => [
    ...(writeTimes === 'none' ? [] : [writeTimeOf(name)]),
    ttlOf(name),
  ]);
  const accepted = (await accepts(session, keyspace, table, [...plain, ...wanted], signal))
    ? wanted
    : await acceptedOnes(session, keyspace, table, plain, wanted, signal);
  return { selectors: [...plain, ...accepted], losses: lossesOf(values, accepted, writeTimes) };
}

/** The selector of a column's write time. */
export function writeTimeOf(name: string): string {
  return `writetime(${quoteName(name)})`;
}

/** The selector of a column's TTL. */
export function ttlOf(name: string): string {
  return `ttl(${quoteName(name)})`;
}

async function acceptedOnes(
  session: CqlSession,
  keyspace: string,
  table: TableSchema,
  plain: readonly string[],
  wanted: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const accepted: string[] = [];
  for (const selector of wanted) {
    if (await accepts(session, keyspace, table, [...plain, selector], signal)) accepted.push(selector);
  }
  return accepted;
}

/** Whether the server accepts the selectors. Asks over the smallest possible range. */
async function accepts(
  session: CqlSession,
  keyspace: string,
  table: TableSchema,
  selectors: readonly string[],
  signal: AbortSignal,
): Promise<boolean> {
  const { product } = session.server;
  const statement = `${selectStatement(product, keyspace, table, selectors)} LIMIT 1`;
  const bounds = product === 'yugabytedb' ? [int32(0), int32(0)] : [int64(0n), int64(0n)];
  try {
    await session.rows(`see what ${keyspace}.${table.name} tells of its cells`, statement, bounds, signal);
    return true;
  } catch (error) {
    if (error instanceof Error && isInvalid(error.cause)) return false;
    throw error;
  }
}

function lossesOf(
  values: readonly ColumnSchema[],
  accepted: readonly string[],
  writeTimes: 'auto' | 'always' | 'none',
): readonly string[] {
  const has = (selector: string) => accepted.includes(selector);
  const names = (columns: readonly ColumnSchema[]) => columns.map(({ name }) => name).join(', ');
  const withoutTtl = values.filter(({ name }) => !has(ttlOf(name)));
  const withoutTime = writeTimes === 'none' ? [] : values.filter(({ name }) => !has(writeTimeOf(name)));
  const losses: string[] = [];
  if (writeTimes === 'none' && values.length > 0)
    losses.push('time of writing of all cells: the plan says writeTimes: none');
  if (withoutTime.length > 0)
    losses.push(`time of writing of ${names(withoutTime)}: the server doesn't tell it`);
  if (withoutTtl.length > 0)
    losses.push(`expiry of ${names(withoutTtl)}: the server doesn't tell it, so they come back without one`);
  if (values.length === 0)
    losses.push('time of writing and expiry of rows that are nothing but a key: no server tells them');
  return losses;
}

/**
 * The column that each selector of a table yields; undefined if the table lacks one (now). Types of write times and TTLs are the server's own: see
 * `docs/ycql.md`, "What the built-ins give".
 */
export function pageColumns(
  product: Server['product'],
  table: TableSchema,
  selectors: readonly string[],
): readonly CqlPageColumn[] | undefined {
  const ttlType = product === 'yugabytedb' ? 'bigint' : 'int';
  const known = new Map<string, CqlPageColumn>();
  const add = (columns: readonly ColumnSchema[], kind: CqlPageColumn['kind']) => {
    for (const { name, type } of columns) known.set(quoteName(name), { name, type, kind });
  };
  add(table.partitionKey, 'partition_key');
  add(table.clustering, 'clustering');
  add(table.statics, 'static');
  add(table.regulars, 'regular');
  for (const { name, type } of valueColumns(table)) {
    const perElement = isMultiCell(parseType(type));
    known.set(writeTimeOf(name), { name, type: perElement ? 'list<bigint>' : 'bigint', kind: 'writetime' });
    known.set(ttlOf(name), { name, type: perElement ? `list<${ttlType}>` : ttlType, kind: 'ttl' });
  }
  const columns = selectors.map((selector) => known.get(selector));
  return columns.every((column) => column !== undefined) ? columns : undefined;
}

/** Type codes of write times and TTLs (CQL protocol, section 4.2.5.2). */
const TYPE_CODES: Readonly<Record<string, number>> = { bigint: 0x02, int: 0x09 };
const LIST = 0x20;

/**
 * Throws `YCQL_UNKNOWN_ANSWER` (permanent) if a server returns write times or TTLs in another type than Holdfast expects: it would read them as
 * wrong times.
 */
export function checkAnswer(what: string, columns: readonly CqlPageColumn[], page: Pick<RawPage, 'columns'>) {
  for (const [index, { name, type, kind }] of columns.entries()) {
    if (kind !== 'writetime' && kind !== 'ttl') continue;
    const wanted = type.startsWith('list<') ? LIST : TYPE_CODES[type];
    const given = page.columns[index]?.typeCode;
    if (given === wanted) continue;
    throw permanent(
      'YCQL_UNKNOWN_ANSWER',
      `The server gives ${kind}(${name}) of ${what} as type 0x${given?.toString(16) ?? '?'}, and Holdfast reads it as ${type}`,
      'Report this with the version of the server. Until then leave the table out (`tables: { exclude: […] }`).',
    );
  }
}
