import { isMultiCell, parseType } from '../../../engines/ycql/cql-type.ts';
import { elementsOf, entriesOf, fieldsOf, type RawCell, rowsOf } from '../../../engines/ycql/rows.ts';
import type { CqlSession } from '../../../engines/ycql/session.ts';
import { quoted, type RandomColumn, type RandomTable } from './schemas.ts';

/** A stretch of time, milliseconds since 1970. */
export interface Interval {
  readonly from: number;
  readonly to: number;
}

/** One cell, or one element of a collection. */
export interface Part {
  /** What tells it apart in its column: nothing, an element of a set, a key of a map, a field. Elements of a list have no name. */
  readonly name: string;
  readonly value: string;
  /** Microseconds since 1970; undefined for counters. */
  readonly writtenAt: bigint | undefined;
  /** The second in which it ends lies in here; undefined: never. */
  readonly ends: Interval | undefined;
}

export interface Cell {
  /** Parts have an order and no names. */
  readonly isList: boolean;
  readonly parts: readonly Part[];
}

/** Cells by column; a column without a value isn't there. */
export type Cells = ReadonlyMap<string, Cell>;

/** What a table holds, each thing once: cells of rows by the row's key, static columns by the partition's. */
export interface ReadTable {
  readonly rows: ReadonlyMap<string, Cells>;
  /** Of each partition that is there, also of those without static columns. */
  readonly statics: ReadonlyMap<string, Cells>;
  readonly read: Interval;
}

export const NOTHING_READ: ReadTable = { rows: new Map(), statics: new Map(), read: { from: 0, to: 0 } };

/** A row's key, or a partition's, as `ReadTable` has it. */
export function keyText(cells: readonly RawCell[]): string {
  return cells.map((cell) => cell?.toString('hex') ?? '-').join('/');
}

/** Reads all of a table, with nothing of the engine but what cuts raw cells out of pages. */
export async function readTable(
  session: CqlSession,
  keyspace: string,
  table: RandomTable,
): Promise<ReadTable> {
  const keys = [...table.partition, ...table.clustering];
  const values = [...table.statics, ...table.regulars];
  const selectors = [
    ...[...keys, ...values].map(({ name }) => quoted(name)),
    ...(table.isCounter
      ? []
      : values.flatMap(({ name }) => [`writetime(${quoted(name)})`, `ttl(${quoted(name)})`])),
  ];
  const from = Date.now();
  const page = await session.rows(
    `read ${keyspace}.${table.name}`,
    `SELECT ${selectors.join(', ')} FROM ${keyspace}.${quoted(table.name)}`,
  );
  const read = { from, to: Date.now() };
  const rows = new Map<string, Cells>();
  const statics = new Map<string, Cells>();
  for (const cells of rowsOf(page, selectors.length)) {
    const at = (index: number) => cells[index] ?? null;
    const cellsOf = (columns: readonly RandomColumn[], offset: number): Cells => {
      const found = new Map<string, Cell>();
      for (const [index, column] of columns.entries()) {
        const value = at(keys.length + offset + index);
        const timeAt = keys.length + values.length + 2 * (offset + index);
        if (value !== null) found.set(column.name, cellOf(column, value, at(timeAt), at(timeAt + 1), read));
      }
      return found;
    };
    const key = keys.map((_, index) => at(index));
    statics.set(keyText(key.slice(0, table.partition.length)), cellsOf(table.statics, 0));
    // A partition that is nothing but its static columns comes without a clustering key, and is no row.
    const isRow = table.clustering.length === 0 || at(table.partition.length) !== null;
    if (isRow) rows.set(keyText(key), cellsOf(table.regulars, table.statics.length));
  }
  return { rows, statics, read };
}

function cellOf(column: RandomColumn, value: Buffer, times: RawCell, ttls: RawCell, read: Interval): Cell {
  const type = parseType(column.type);
  const part = (name: string, cell: RawCell, time: RawCell, ttl: RawCell): Part => ({
    name,
    value: cell?.toString('hex') ?? 'null',
    writtenAt: time?.readBigInt64BE(0),
    ends: ttl === null ? undefined : endOf(ttl, read),
  });
  if (!isMultiCell(type)) return { isList: false, parts: [part('', value, times, ttls)] };
  const timeOf = elementsAt(times);
  const ttlOf = elementsAt(ttls);
  const named: readonly (readonly [string, RawCell])[] =
    type.kind === 'map'
      ? entriesOf(value).map(([key, each]) => [key?.toString('hex') ?? '', each])
      : type.kind === 'udt'
        ? fieldsOf(value).map((each, index) => [`field ${index}`, each])
        : elementsOf(value).map((each) => [type.kind === 'list' ? '' : (each?.toString('hex') ?? ''), each]);
  // Of a user-defined type the server tells times of each field, also of those that are null.
  const parts = named.map(([name, each], index) => part(name, each, timeOf(index), ttlOf(index)));
  return {
    isList: type.kind === 'list',
    parts: type.kind === 'udt' ? parts.filter((_, index) => named[index]?.[1] !== null) : parts,
  };
}

function elementsAt(cell: RawCell): (index: number) => RawCell {
  const all = cell === null ? [] : elementsOf(cell);
  return (index) => all[index] ?? null;
}

/** A server counts in whole seconds: what has N seconds left ends within N seconds of the moment when it was read, up to one earlier. */
function endOf(ttl: Buffer, { from, to }: Interval): Interval {
  const left = 1_000 * (ttl.length === 8 ? Number(ttl.readBigInt64BE(0)) : ttl.readInt32BE(0));
  return { from: from + left - 1_000, to: to + left };
}
