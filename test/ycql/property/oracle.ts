import { isMultiCell, parseType } from '../../../engines/ycql/cql-type.ts';
import { elementsOf, entriesOf, fieldsOf, type RawCell, rowsOf } from '../../../engines/ycql/rows.ts';
import type { CqlSession } from '../../../engines/ycql/session.ts';
import { quoted, type RandomColumn, type RandomTable } from './schemas.ts';

/*
 * What a keyspace holds, read and compared without anything of the engine but its raw cells: the comparison of the engine is one of the
 * things that are tested.
 */

/** One cell, or one element of a collection. */
interface Part {
  readonly value: string;
  readonly writtenAt: string;
  /** Milliseconds since 1970; undefined: never. */
  readonly endsAtMs: number | undefined;
}

/** Parts of a column by what tells them apart: nothing, an element, a key, a field. */
type Cell = ReadonlyMap<string, Part>;

export interface ReadRow {
  readonly cells: ReadonlyMap<string, Cell>;
  /** Those that keep the row: static ones don't, but where the partition is nothing else. */
  readonly own: readonly Cell[];
  readonly readAtMs: number;
  /** A partition that is nothing but static columns. */
  readonly isBare: boolean;
}

export type ReadTable = ReadonlyMap<string, ReadRow>;

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
  const readAtMs = Date.now();
  const page = await session.rows(
    `read ${keyspace}.${table.name}`,
    `SELECT ${selectors.join(', ')} FROM ${keyspace}.${quoted(table.name)}`,
  );
  const rows = new Map<string, ReadRow>();
  for (const cells of rowsOf(page, selectors.length)) {
    const key = keys.map((_, at) => cells[at]?.toString('hex') ?? '-').join('/');
    const found = new Map<string, Cell>();
    for (const [index, column] of values.entries()) {
      const at = keys.length + index;
      const timeAt = keys.length + values.length + 2 * index;
      const value = cells[at] ?? null;
      if (value === null) continue;
      const [times, ttls] = table.isCounter
        ? [null, null]
        : [cells[timeAt] ?? null, cells[timeAt + 1] ?? null];
      found.set(column.name, partsOf(column, value, times, ttls, readAtMs));
    }
    const isBare = table.clustering.length > 0 && (cells[table.partition.length] ?? null) === null;
    const statics = new Set(table.statics.map(({ name }) => name));
    const own = [...found].flatMap(([name, cell]) => (isBare || !statics.has(name) ? [cell] : []));
    rows.set(key, { cells: found, own, readAtMs, isBare });
  }
  return rows;
}

function partsOf(column: RandomColumn, value: Buffer, times: RawCell, ttls: RawCell, readAtMs: number): Cell {
  const type = parseType(column.type);
  const part = (cell: RawCell, time: RawCell, ttl: RawCell): Part => ({
    value: cell?.toString('hex') ?? 'null',
    writtenAt: time === null ? '' : String(time.readBigInt64BE(0)),
    endsAtMs: ttl === null ? undefined : readAtMs + 1_000 * secondsIn(ttl),
  });
  if (!isMultiCell(type)) return new Map([['', part(value, times, ttls)]]);
  const timeOf = elementsAt(times);
  const ttlOf = elementsAt(ttls);
  const list: readonly (readonly [string, RawCell])[] =
    type.kind === 'map'
      ? entriesOf(value).map(([key, each]) => [key?.toString('hex') ?? '', each])
      : type.kind === 'udt'
        ? fieldsOf(value).flatMap((each, index) => (each === null ? [] : [[`field ${index}`, each] as const]))
        : elementsOf(value).map((each, index) => [
            type.kind === 'list' ? String(index).padStart(4, '0') : (each?.toString('hex') ?? ''),
            each,
          ]);
  // Of a user-defined type the server tells times of each field, also of those that are null.
  const places =
    type.kind === 'udt'
      ? fieldsOf(value).flatMap((each, index) => (each === null ? [] : [index]))
      : list.map((_, index) => index);
  return new Map(
    list.map(([name, each], index) => [
      name,
      part(each, timeOf(places[index] ?? index), ttlOf(places[index] ?? index)),
    ]),
  );
}

function elementsAt(cell: RawCell): (index: number) => RawCell {
  const all = cell === null ? [] : elementsOf(cell);
  return (index) => all[index] ?? null;
}

function secondsIn(ttl: Buffer): number {
  return ttl.length === 8 ? Number(ttl.readBigInt64BE(0)) : ttl.readInt32BE(0);
}

export interface Expectation {
  /** As the source was before and after the scan: each row is one of the two. */
  readonly states: readonly [before: ReadTable, after: ReadTable];
  /** Columns whose times of writing, or whose expiries, the backup lists as losses. */
  readonly untimed: ReadonlySet<string>;
  readonly unended: ReadonlySet<string>;
  /** The backup lists as a loss that rows, all of whose cells expire, may stay as bare keys at the source. */
  readonly markersListed: boolean;
  /** Times of writing are the restore's own. */
  readonly asNew: boolean;
  /** The target had rows of its own. */
  readonly othersAllowed: boolean;
}

/** A cell that ends so close to when it was read may be there or not: the servers count in whole seconds. */
const NEAR_MS = 3_000;
/** A TTL counts from when it is written, and a machine under load writes late. */
const LATE_MS = 60_000;

/** How a copy differs from what the source was. Each row must be as one of the two states has it, wholly. */
export function differencesOf(copy: ReadTable, expectation: Expectation): readonly string[] {
  const { states, othersAllowed } = expectation;
  const [before, after] = states;
  const differences: string[] = [];
  for (const key of new Set([...before.keys(), ...after.keys(), ...copy.keys()])) {
    const isBare = before.get(key)?.isBare === true || after.get(key)?.isBare === true;
    const found = copy.get(key) ?? (othersAllowed && isBare ? staticsOf(copy, key) : undefined);
    const candidates = [before.get(key), after.get(key)];
    if (candidates.every((row) => row === undefined)) {
      if (!othersAllowed && found?.isBare !== true) differences.push(`${key} is one too many`);
      continue;
    }
    if (found === undefined && expectation.markersListed && lostItsCells(candidates)) continue;
    const problems = candidates.map((row) => rowProblem(row, found, expectation));
    if (problems.some((problem) => problem === undefined)) continue;
    differences.push(`${key}: ${[...new Set(problems)].join(' | ')}`);
  }
  return differences;
}

/** The static columns of a partition that is nothing else at the source, and has rows in the copy. */
function staticsOf(copy: ReadTable, key: string): ReadRow | undefined {
  const partition = key.replace(/(\/-)+$/, '');
  const row = [...copy].find(([other]) => other.startsWith(`${partition}/`))?.[1];
  if (row === undefined) return undefined;
  return { ...row, cells: new Map([...row.cells].filter(([, cell]) => !row.own.includes(cell))) };
}

/** A row of which nothing but the key is left, now that a cell has ended which it had before the scan. */
function lostItsCells([before, after]: readonly (ReadRow | undefined)[]): boolean {
  if (before === undefined || after === undefined || after.own.length > 0) return false;
  const now = Date.now() + NEAR_MS;
  return before.own.some((cell) =>
    [...cell.values()].some(({ endsAtMs }) => endsAtMs !== undefined && endsAtMs <= now),
  );
}

function rowProblem(
  wanted: ReadRow | undefined,
  found: ReadRow | undefined,
  how: Expectation,
): string | undefined {
  if (wanted === undefined) return found === undefined || how.othersAllowed ? undefined : 'it was not there';
  if (found === undefined) return isOver(wanted) ? undefined : 'it is missing';
  for (const name of new Set([...wanted.cells.keys(), ...found.cells.keys()])) {
    const problem = cellProblem(name, wanted.cells.get(name), found.cells.get(name), found.readAtMs, how);
    if (problem !== undefined) return `column ${name}: ${problem}`;
  }
  return undefined;
}

/** All that kept a row has ended; a row that is nothing but a key never does. */
function isOver({ own }: ReadRow): boolean {
  const now = Date.now() + NEAR_MS;
  return (
    own.length > 0 &&
    own.every((cell) => [...cell.values()].every(({ endsAtMs }) => endsAtMs !== undefined && endsAtMs <= now))
  );
}

function cellProblem(
  name: string,
  wanted: Cell = new Map(),
  found: Cell = new Map(),
  readAtMs: number,
  { untimed, unended, asNew }: Expectation,
): string | undefined {
  const endsSoon = [...wanted.values()].some(
    ({ endsAtMs }) => endsAtMs !== undefined && endsAtMs <= readAtMs + NEAR_MS,
  );
  // Some of it has ended: what is left of a list has other places, and of the rest each is looked at by itself.
  const isList = [...wanted.keys(), ...found.keys()].some((each) => /^\d{4}$/.test(each));
  if (endsSoon && isList) return undefined;
  for (const [part, now] of found) {
    const before = wanted.get(part);
    if (before === undefined) return `${part} is too many`;
    if (before.value !== now.value) return `${part} is ${now.value} instead of ${before.value}`;
    if (!asNew && !untimed.has(name) && before.writtenAt !== now.writtenAt)
      return `${part} was written at ${now.writtenAt} instead of ${before.writtenAt}`;
    if (unended.has(name)) continue;
    const late = (now.endsAtMs ?? 0) - (before.endsAtMs ?? 0);
    const isSame = now.endsAtMs === undefined ? before.endsAtMs === undefined : before.endsAtMs !== undefined;
    if (!isSame || late < -NEAR_MS || late > LATE_MS)
      return `${part} ends at ${now.endsAtMs} instead of ${before.endsAtMs}`;
  }
  for (const [part, before] of wanted) {
    if (found.has(part)) continue;
    const mayBeOver = before.endsAtMs !== undefined && before.endsAtMs <= readAtMs + NEAR_MS;
    if (!mayBeOver) return `${part} is missing`;
  }
  return undefined;
}
