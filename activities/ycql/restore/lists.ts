import { int32 } from '../bytes.ts';
import { isMultiCell, parseType } from '../cql-type.ts';
import { quoteName, quoteTable } from '../identifiers.ts';
import { elementsOf, type RawCell, rowsOf } from '../rows.ts';
import type { TableSchema } from '../schema.ts';
import type { CqlSession } from '../session.ts';
import { type WriterOptions, writeUntilDone } from './writer.ts';

/*
 * A list that isn't frozen can't be written twice: its elements have no place of their own but a time-based id that the server
 * makes for each write, so the same list at the same time of writing comes out doubled. Before a list is written again, what
 * is there of it is therefore taken away element by element (deleting the list as a whole would also hide what is written
 * at an earlier time than now).
 */

const ELEMENTS_AT_ONCE = 50;

/** Names of a table's lists that aren't frozen; static ones stand once per partition. */
export function listColumns(table: TableSchema, which: 'statics' | 'regulars'): readonly string[] {
  return table[which]
    .filter(({ type }) => {
      const parsed = parseType(type);
      return parsed.kind === 'list' && isMultiCell(parsed);
    })
    .map(({ name }) => name);
}

/** Takes away every element of the given lists of a row (or partition). */
export async function clearLists(
  session: CqlSession,
  keyspace: string,
  table: TableSchema,
  lists: readonly string[],
  key: readonly RawCell[],
  options: WriterOptions & { readonly writeTimes: boolean },
): Promise<void> {
  if (lists.length === 0) return;
  const names = [...table.partitionKey, ...table.clustering]
    .slice(0, key.length)
    .map(({ name }) => quoteName(name));
  const where = names.map((name) => `${name} = ?`).join(' AND ');
  const from = quoteTable(keyspace, table.name);
  const selectors = lists.flatMap((name) => [
    quoteName(name),
    ...(options.writeTimes ? [`writetime(${quoteName(name)})`] : []),
  ]);
  const page = await session.rows(
    options.doing,
    `SELECT ${selectors.join(', ')} FROM ${from} WHERE ${where} LIMIT 1`,
    key,
    options.signal,
  );
  const [row] = rowsOf(page, selectors.length);
  if (row === undefined) return;
  const step = options.writeTimes ? 2 : 1;
  for (const [index, name] of lists.entries()) {
    const list = row[index * step];
    if (list === null || list === undefined) continue;
    const times = options.writeTimes ? elementsOf(row[index * step + 1] ?? Buffer.alloc(0)) : [];
    const latest = times.reduce(later, null);
    for (let end = elementsOf(list).length; end > 0; end -= ELEMENTS_AT_ONCE) {
      const start = Math.max(0, end - ELEMENTS_AT_ONCE);
      const places = Array.from({ length: end - start }, (_, offset) => start + offset);
      const using = latest === null ? '' : ' USING TIMESTAMP ?';
      const query = `DELETE ${places.map(() => `${quoteName(name)}[?]`).join(', ')} FROM ${from}${using} WHERE ${where}`;
      const params = [...places.map(int32), ...(latest === null ? [] : [latest]), ...key];
      await writeUntilDone(session, [{ query, params }], options);
    }
  }
}

function later(one: RawCell, other: RawCell): RawCell {
  if (one === null || other === null) return one ?? other;
  return one.readBigInt64BE(0) < other.readBigInt64BE(0) ? other : one;
}
