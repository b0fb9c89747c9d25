import { quoteIdentifier, quoteTable } from '../server/identifiers.ts';
import type { FoldedCopies, FoldedRow } from './fold.ts';
import type { Cell, Tuple } from './messages.ts';
import type { KeyColumn, TargetColumn, TargetTable } from './target-table.ts';

/*
 * The statements by which a folded batch is written. Values travel as one array a column. Each statement says how many rows it
 * changed, so that a row which should have been there and was not is noticed.
 */

/** A statement whose answer is one row with the number `rows`. */
export interface CountedStatement {
  readonly doing: string;
  readonly text: string;
  readonly values: readonly (readonly Cell[])[];
  readonly expected: number;
}

interface Placed {
  readonly column: TargetColumn;
  /** Name of the column in the list of values. A column of the table may have the same. */
  readonly as: string;
  /** The same with the list's own name before it. */
  readonly value: string;
}

/** `unnest(…) AS v(…)`: a row of typed values for each tuple. */
interface ValueList {
  readonly from: string;
  readonly placed: readonly Placed[];
  readonly values: readonly (readonly Cell[])[];
}

function valueList(
  columns: readonly TargetColumn[],
  cells: (column: TargetColumn) => readonly Cell[],
  { alias, firstParameter }: { readonly alias: string; readonly firstParameter: number },
): ValueList {
  const placed = columns.map((column, at) => {
    const as = `${alias}${at}`;
    return { column, as, value: `${alias}.${as}` };
  });
  const arrays = placed.map(
    ({ column }, at) => `$${firstParameter + at}::${column.isElement ? column.type : 'text'}[]`,
  );
  const inner = `unnest(${arrays.join(', ')}) AS ${alias}(${placed.map(({ as }) => as).join(', ')})`;
  // Arrays of arrays would be taken apart to the last element, so such values come as text.
  const typed = placed.map(({ column, as }) => (column.isElement ? as : `${as}::${column.type} AS ${as}`));
  return {
    from: placed.every(({ column }) => column.isElement)
      ? inner
      : `(SELECT ${typed.join(', ')} FROM ${inner}) AS ${alias}`,
    placed,
    values: placed.map(({ column }) => cells(column)),
  };
}

function cellsOf(tuples: readonly Tuple[]): (column: TargetColumn) => readonly Cell[] {
  return ({ position }) => tuples.map((tuple) => tuple[position]);
}

function keyList(key: readonly KeyColumn[], keys: readonly Tuple[], firstParameter: number): ValueList {
  const at = new Map(key.map(({ name }, index) => [name, index]));
  return valueList(key, ({ name }) => keys.map((values) => values[at.get(name) ?? -1]), {
    alias: 'k',
    firstParameter,
  });
}

function sameKey(key: readonly KeyColumn[], { placed }: Pick<ValueList, 'placed'>): string {
  return key
    .map(({ name, equals }, index) => `t.${quoteIdentifier(name)} ${equals} ${placed[index]?.value}`)
    .join(' AND ');
}

/** Children of a table have rows of their own. */
function only(table: TargetTable): string {
  return `ONLY ${quoteTable(table)}`;
}

const COUNT = 'SELECT count(*)::int AS rows FROM changed';

/** A temporary table of the transaction that keeps rows as they were before the batch. */
const KEPT = 'pg_temp.holdfast_kept';

/** A name that no column of the table has, for the number of a kept row. */
function numberOf(table: TargetTable): string {
  const names = new Set(table.columns.map(({ name }) => name));
  let number = 'at';
  while (names.has(number)) number += '_';
  return number;
}

/** What keeps the rows of `origins`, numbered as they are given, with the values of `columns`. */
export function keepStatements(
  table: TargetTable,
  key: readonly KeyColumn[],
  columns: readonly TargetColumn[],
  origins: readonly Tuple[],
): { readonly create: string; readonly fill: CountedStatement; readonly drop: string } {
  const list = keyList(key, origins, 1);
  const names = columns.map(({ name }) => `t.${quoteIdentifier(name)}`).join(', ');
  const selected = `SELECT ${names} FROM ${only(table)} AS t`;
  const number = numberOf(table);
  return {
    create: `CREATE TEMPORARY TABLE holdfast_kept ON COMMIT DROP AS SELECT 0 AS ${number}, kept.* FROM (${selected} LIMIT 0) AS kept`,
    fill: {
      doing: `keep values that changed rows of ${quoteTable(table)} take over`,
      text: `WITH changed AS (INSERT INTO ${KEPT} SELECT k.at, ${names} FROM
        (SELECT ${list.placed.map(({ value }) => value).join(', ')}, row_number() OVER () - 1 AS at FROM ${list.from}) AS k
        JOIN ${only(table)} AS t ON ${sameKey(key, list)} RETURNING 1) ${COUNT}`,
      values: list.values,
      expected: origins.length,
    },
    drop: `DROP TABLE ${KEPT}`,
  };
}

export function deleteStatement(
  table: TargetTable,
  key: readonly KeyColumn[],
  keys: readonly Tuple[],
): CountedStatement {
  const list = keyList(key, keys, 1);
  return {
    doing: `delete rows of ${quoteTable(table)}`,
    text: `WITH changed AS (DELETE FROM ${only(table)} AS t USING ${list.from} WHERE ${sameKey(key, list)} RETURNING 1) ${COUNT}`,
    values: list.values,
    expected: keys.length,
  };
}

/** Sets the columns that `rows` have values of; they all have values of the same ones. Undefined where these are the key alone. */
export function updateStatement(
  table: TargetTable,
  key: readonly KeyColumn[],
  rows: readonly FoldedRow[],
): CountedStatement | undefined {
  const keyNames = new Set(key.map(({ name }) => name));
  const [first] = rows;
  const set = table.columns.filter(
    ({ name, position }) => !keyNames.has(name) && first?.row?.[position] !== undefined,
  );
  if (set.length === 0) return undefined;
  const columns: readonly TargetColumn[] = [...key, ...set];
  const list = valueList(columns, cellsOf(rows.map(({ row = [] }) => row)), {
    alias: 'v',
    firstParameter: 1,
  });
  const assignments = list.placed
    .slice(key.length)
    .map(({ column, value }) => `${quoteIdentifier(column.name)} = ${value}`);
  return {
    doing: `update rows of ${quoteTable(table)}`,
    text: `WITH changed AS (UPDATE ${only(table)} AS t SET ${assignments.join(', ')} FROM ${list.from} WHERE ${sameKey(key, list)} RETURNING 1) ${COUNT}`,
    values: list.values,
    expected: rows.length,
  };
}

export function insertStatement(table: TargetTable, rows: readonly Tuple[]): CountedStatement {
  if (table.columns.length === 0) return insertOfNothing(table, rows.length);
  const list = valueList(table.columns, cellsOf(rows), { alias: 'v', firstParameter: 1 });
  const names = table.columns.map(({ name }) => quoteIdentifier(name)).join(', ');
  return {
    doing: `insert rows into ${quoteTable(table)}`,
    text: `WITH changed AS (INSERT INTO ${quoteTable(table)} (${names}) OVERRIDING SYSTEM VALUE SELECT ${list.placed.map(({ as }) => as).join(', ')} FROM ${list.from} RETURNING 1) ${COUNT}`,
    values: list.values,
    expected: rows.length,
  };
}

/** A table may have no column but generated ones, or none at all. */
function insertOfNothing(table: TargetTable, rows: number): CountedStatement {
  return {
    doing: `insert rows into ${quoteTable(table)}`,
    text: `WITH changed AS (INSERT INTO ${quoteTable(table)} SELECT FROM generate_series(1, ${rows}) RETURNING 1) ${COUNT}`,
    values: [],
    expected: rows,
  };
}

/** Inserts rows whose unset values come from the kept row of the same number, counted from `firstKept`. All have the same ones unset. */
export function insertKeptStatement(
  table: TargetTable,
  rows: readonly Tuple[],
  firstKept: number,
): CountedStatement {
  const [first = []] = rows;
  const given = table.columns.filter(({ position }) => first[position] !== undefined);
  const taken = table.columns.filter(({ position }) => first[position] === undefined);
  const list = valueList(given, cellsOf(rows), { alias: 'v', firstParameter: 1 });
  const names = [...given, ...taken].map(({ name }) => quoteIdentifier(name)).join(', ');
  const ownValues = list.placed.map(({ value }) => value);
  const selected = [...ownValues, ...taken.map(({ name }) => `kept.${quoteIdentifier(name)}`)].join(', ');
  return {
    doing: `insert rows into ${quoteTable(table)}`,
    text: `WITH changed AS (INSERT INTO ${quoteTable(table)} (${names}) OVERRIDING SYSTEM VALUE SELECT ${selected} FROM
      (SELECT ${[...ownValues, `row_number() OVER () + ${firstKept - 1} AS at`].join(', ')} FROM ${list.from}) AS v
      JOIN ${KEPT} AS kept ON kept.${numberOf(table)} = v.at RETURNING 1) ${COUNT}`,
    values: list.values,
    expected: rows.length,
  };
}

/** Removes so many copies of each row. Rows are compared as text, since a type may have no operator that calls values equal. */
export function deleteCopiesStatement(table: TargetTable, copies: readonly FoldedCopies[]): CountedStatement {
  const columns = table.columns.map(({ name }) => `t.${quoteIdentifier(name)}`).join(', ');
  const list = valueList(table.columns, cellsOf(copies.map(({ row }) => row)), {
    alias: 'v',
    firstParameter: 2,
  });
  return {
    doing: `delete rows of ${quoteTable(table)}`,
    text: `WITH wanted AS (SELECT ROW(${list.placed.map(({ as }) => as).join(', ')})::text COLLATE "C" AS whole, (($1::text[])[row_number() OVER ()])::int AS copies FROM ${list.from}),
      found AS (SELECT t.ctid, w.copies, row_number() OVER (PARTITION BY w.whole) AS copy
        FROM ${only(table)} AS t JOIN wanted AS w ON ROW(${columns})::text COLLATE "C" = w.whole),
      changed AS (DELETE FROM ${only(table)} AS t WHERE ctid IN (SELECT ctid FROM found WHERE copy <= copies) RETURNING 1) ${COUNT}`,
    values: [copies.map(({ change }) => String(-change)), ...list.values],
    expected: copies.reduce((sum, { change }) => sum - change, 0),
  };
}
