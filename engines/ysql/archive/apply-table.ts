import { HoldfastError, permanent } from '../../../model/errors.ts';
import { copyFromStatement } from '../copy-statements.ts';
import { copyIn } from '../restore/copy-in.ts';
import { sqlState } from '../server/errors.ts';
import { quoteIdentifier, quoteTable, tableName } from '../server/identifiers.ts';
import { onlyRow, type Session } from '../server/session.ts';
import { type FoldedCopies, type FoldedRow, KeyedFold, KeylessFold, type RowChange } from './fold.ts';
import type { Cell, Tuple } from './messages.ts';
import {
  type CountedStatement,
  deleteCopiesStatement,
  deleteStatement,
  insertKeptStatement,
  insertStatement,
  keepStatements,
  updateStatement,
} from './statements.ts';
import type { KeyColumn, TargetTable } from './target-table.ts';
import { WireRow } from './wire-row.ts';

/** The changes of one table in one batch, and how they are written. */
export interface TableBatch {
  add(change: RowChange): void;
  /** Writes the batch in the present transaction. Throws `REPLAY_DIFFERS` (permanent) where the rows there don't fit. */
  write(session: Session): Promise<void>;
}

export function tableBatch(table: TargetTable): TableBatch {
  const { key } = table;
  if (key === undefined) {
    const fold = new KeylessFold(tableName(table));
    return {
      add: (change) => fold.add(change),
      write: (session) => writeCopies(session, table, fold.copies()),
    };
  }
  const fold = new KeyedFold(
    tableName(table),
    key.map(({ position }) => position),
  );
  return {
    add: (change) => fold.add(change),
    write: (session) => writeRows(session, table, key, fold.rows()),
  };
}

interface PresentRow extends FoldedRow {
  readonly row: Tuple;
}

/** Removals come first, so that rows may take each other's keys. */
async function writeRows(
  session: Session,
  table: TargetTable,
  key: readonly KeyColumn[],
  rows: readonly FoldedRow[],
): Promise<void> {
  const staysInPlace = ({ existed, key: own, origin }: FoldedRow) =>
    existed && !table.replacesRows && (origin === undefined || isSame(own, origin));
  const updated = rows.filter(staysInPlace).flatMap(presentOf);
  const inserted = rows.filter((row) => !staysInPlace(row));
  const whole = inserted.flatMap(({ row, wire, origin }): readonly (Tuple | WireRow)[] => {
    if (origin !== undefined) return [];
    const came = wire ?? row;
    return came === undefined ? [] : [came];
  });
  const completed = inserted.filter(({ origin }) => origin !== undefined).flatMap(presentOf);
  const removed = rows.filter((row) => row.existed && !(isPresent(row) && staysInPlace(row)));

  const kept = await keep(session, table, key, completed);
  if (removed.length > 0) {
    await run(
      session,
      table,
      deleteStatement(
        table,
        key,
        removed.map((row) => row.key),
      ),
    );
  }
  for (const group of Map.groupBy(updated, ({ row }) => shapeOf(row)).values()) {
    const statement = updateStatement(table, key, group);
    if (statement !== undefined) await run(session, table, statement);
  }
  if (whole.length > 0) {
    await insertRows(session, table, whole);
  }
  await kept.insert();
}

function isPresent({ row, wire }: FoldedRow): boolean {
  return row !== undefined || wire !== undefined;
}

/** With its values as text; none where there is no row after the batch. */
function presentOf(folded: FoldedRow): readonly PresentRow[] {
  const row = folded.row ?? folded.wire?.tuple();
  return row === undefined ? [] : [{ ...folded, row }];
}

/** Keeps what rows take over from rows that are about to go. */
async function keep(
  session: Session,
  table: TargetTable,
  key: readonly KeyColumn[],
  completed: readonly PresentRow[],
): Promise<{ insert(): Promise<void> }> {
  if (completed.length === 0) return { insert: () => Promise.resolve() };
  const groups = [...Map.groupBy(completed, ({ row }) => shapeOf(row)).values()];
  const origins = groups.flat().flatMap(({ origin }) => (origin === undefined ? [] : [origin]));
  const columns = table.columns.filter(({ position }) =>
    completed.some(({ row }) => row[position] === undefined),
  );
  const { create, fill, drop } = keepStatements(table, key, columns, origins);
  await session.query('create a table for values that rows take over', create);
  await run(session, table, fill);
  return {
    async insert() {
      let firstKept = 0;
      for (const group of groups) {
        const tuples = group.map(({ row }) => row);
        await run(session, table, insertKeptStatement(table, tuples, firstKept));
        firstKept += group.length;
      }
      await session.query('drop the table of values that rows took over', drop);
    },
  };
}

/** Which values of a row are set: rows of one shape are written by one statement. */
function shapeOf(row: Tuple): string {
  return row.map((cell) => (cell === undefined ? 'u' : 's')).join('');
}

function isSame(one: Tuple, other: Tuple): boolean {
  return one.length === other.length && one.every((cell, at) => cell === other[at]);
}

async function writeCopies(
  session: Session,
  table: TargetTable,
  copies: readonly FoldedCopies[],
): Promise<void> {
  const fewer = copies.filter(({ change }) => change < 0);
  if (fewer.length > 0) await run(session, table, deleteCopiesStatement(table, fewer));
  const more = copies.flatMap(({ row, change }) => (change > 0 ? Array<Tuple>(change).fill(row) : []));
  if (more.length > 0) await insertRows(session, table, more);
}

/** From so many rows on, COPY takes less time than an INSERT from arrays, whose values are written and read twice. */
const COPIED_FROM_ROWS = 32;
const COPY_BLOCK_BYTES = 256 * 1024;
/** The session itself knows the signal that cuts it. */
const NEVER = new AbortController().signal;

async function insertRows(
  session: Session,
  table: TargetTable,
  rows: readonly (Tuple | WireRow)[],
): Promise<void> {
  if (rows.length < COPIED_FROM_ROWS || !table.takesCopy || table.columns.length === 0) {
    const tuples = rows.map((row) => (row instanceof WireRow ? row.tuple() : row));
    await run(session, table, insertStatement(table, tuples));
    return;
  }
  const doing = `insert rows into ${quoteTable(table)}`;
  const columns = table.columns.map(({ name }) => quoteIdentifier(name));
  const copy = copyFromStatement({ table: { ...table, database: session.database }, columns }, 'UTF8');
  const copied = await constrained(table, () => copyIn(session, copy, copyText(table, rows), doing, NEVER));
  requireRows(table, { doing, expected: rows.length }, copied);
}

/** Blocks have memory of their own, which whoever sends them frees. */
async function* copyText(table: TargetTable, rows: readonly (Tuple | WireRow)[]): AsyncGenerator<Buffer> {
  const positions = table.columns.map(({ position }) => position);
  let block = Buffer.allocUnsafeSlow(COPY_BLOCK_BYTES);
  let end = 0;
  for (const row of rows) {
    const line = row instanceof WireRow ? row : copyLine(row, positions);
    const needed = typeof line === 'string' ? 3 * line.length : line.copyBytesAtMost(positions.length);
    if (needed > block.length - end) {
      if (end > 0) yield block.subarray(0, end);
      block = Buffer.allocUnsafeSlow(Math.max(COPY_BLOCK_BYTES, needed));
      end = 0;
    }
    end = typeof line === 'string' ? end + block.write(line, end) : line.copyTo(block, end, positions);
  }
  if (end > 0) yield block.subarray(0, end);
}

function copyLine(row: Tuple, positions: readonly number[]): string {
  return `${positions.map((position) => copyCell(row[position])).join('\t')}\n`;
}

const COPY_ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
};

function copyCell(cell: Cell): string {
  if (cell === null || cell === undefined) return '\\N';
  return /[\\\t\n\r]/.test(cell)
    ? cell.replaceAll(/[\\\t\n\r]/g, (character) => COPY_ESCAPES[character] ?? character)
    : cell;
}

async function run(session: Session, table: TargetTable, statement: CountedStatement): Promise<void> {
  requireRows(table, statement, await counted(session, table, statement));
}

function requireRows(
  table: TargetTable,
  { doing, expected }: Pick<CountedStatement, 'doing' | 'expected'>,
  rows: number,
): void {
  if (rows === expected) return;
  throw differs(table, `a statement to ${doing} found ${rows} of ${expected} rows as the archive has them`);
}

async function counted(
  session: Session,
  table: TargetTable,
  { doing, text, values }: CountedStatement,
): Promise<number> {
  return await constrained(
    table,
    async () =>
      onlyRow(await session.query<{ rows: number }>(doing, text, values), 'the number of rows').rows,
  );
}

/** What a constraint refuses (class 23) doesn't belong to these rows. */
async function constrained<T>(table: TargetTable, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof HoldfastError && sqlState(error.cause)?.startsWith('23') === true) {
      throw differs(table, error.message, error);
    }
    throw error;
  }
}

function differs(table: TargetTable, problem: string, cause?: unknown): Error {
  return permanent(
    'REPLAY_DIFFERS',
    `The archived changes of ${tableName(table)} don't fit the rows that were restored: ${problem}`,
    'The archive lacks changes, or has them twice, or belongs to another base: restore an instant before them, or from another backup.',
    cause,
  );
}
