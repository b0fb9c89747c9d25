import type { KeyColumn, KeyRange } from '../../model/backup.ts';
import { quoteLiteral } from './server/identifiers.ts';

/** A place in a key's order: values of the key's first columns, as the server writes them. */
export type KeyPlace = readonly string[];

/**
 * Returns conditions that divide a range, in the order of the key: every row of the range meets exactly one of them. Pure.
 *
 * Each condition compares columns with constants one by one. YugabyteDB reads exactly the rows of such a condition. It answered row
 * comparisons (`(a, b) >= (1, 2)`) wrongly in many releases (issues 11280, 21847, 22075, 22078, 32153), and for an OR it reads the whole
 * table.
 */
function rangeConditions({ keys, from, to }: KeyRange): readonly string[] {
  const start = compared(keys, from ?? []);
  const end = compared(keys, to ?? []);
  const shared = sharedValues(from ?? [], to ?? []);
  if (to !== null && shared === to.length)
    throw new RangeError('a range of keys that ends where it begins, or before');
  const lead = start.slice(0, shared).map(({ equal }) => equal);
  const lower = start.flatMap((value, index) => {
    if (index <= shared) return [];
    const equals = start.slice(shared, index).map(({ equal }) => equal);
    return [[...equals, index === start.length - 1 ? value.notBefore : value.after]];
  });
  const first = start[shared];
  const last = end[shared];
  const between = [
    ...(first === undefined ? [] : [shared === start.length - 1 ? first.notBefore : first.after]),
    ...(last === undefined ? [] : [last.before]),
  ];
  const upper = end.flatMap((value, index) =>
    index <= shared ? [] : [[...end.slice(shared, index).map(({ equal }) => equal), value.before]],
  );
  return [...lower.reverse(), between, ...upper].map((parts) => [...lead, ...parts].join(' AND '));
}

/** How many leading values both places share. */
function sharedValues(one: KeyPlace, other: KeyPlace): number {
  const differs = one.findIndex((value, index) => value !== other[index]);
  return differs < 0 ? one.length : differs;
}

function compared(keys: readonly KeyColumn[], place: KeyPlace) {
  return place.map((text, index) => {
    const key = keys[index];
    if (key === undefined)
      throw new RangeError(`a place of ${place.length} values in a key of ${keys.length} columns`);
    const value = `${quoteLiteral(text).trim()}::${key.type}`;
    return {
      before: `${key.column} ${key.before} ${value}`,
      equal: `${key.column} ${key.equal} ${value}`,
      notBefore: `${key.column} ${key.notBefore} ${value}`,
      after: `${key.column} ${key.after} ${value}`,
    };
  });
}

/** The ORDER BY clause that sorts rows by the key. Pure. */
function keyOrder(keys: readonly KeyColumn[]): string {
  return `ORDER BY ${keys.map(({ column, before }) => `${column} USING ${before}`).join(', ')}`;
}

/**
 * The query that selects `what` from the rows of a range in key order. `limit` bounds how many rows each of its conditions reads.
 * Pure.
 *
 * @param table quoted
 */
export function selectRange(range: KeyRange, what: string, table: string, limit?: number): string {
  const order = keyOrder(range.keys);
  const bound = limit === undefined ? '' : ` LIMIT ${limit}`;
  return rangeConditions(range)
    .map((condition) => {
      const where = condition === '' ? '' : ` WHERE ${condition}`;
      return `(SELECT ${what} FROM ONLY ${table}${where} ${order}${bound})`;
    })
    .join(' UNION ALL ');
}
