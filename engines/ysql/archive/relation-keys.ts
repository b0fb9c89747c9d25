import { tableName } from '../server/identifiers.ts';
import { decodeMessage } from './messages.ts';

const KEY_COLUMN = 1;

/**
 * Marks the columns of the primary key in a Relation message of replica identity CHANGE that marks none. YugabyteDB's `yboutput` takes the marks from the
 * relation's identity index, and its sources don't show that CHANGE has one. Whoever reads a segment has to know by which columns a row is meant.
 *
 * @param keys the primary key's columns by `schema.table`
 * @returns the same bytes where nothing is missing
 */
export function withKeyMarked(payload: Buffer, keys: ReadonlyMap<string, readonly string[]>): Buffer {
  const relation = decodeMessage(payload);
  if (relation.kind !== 'relation' || relation.identity !== 'c') return payload;
  const key = keys.get(tableName(relation));
  if (key === undefined || relation.columns.some(({ isKey }) => isKey)) return payload;
  const marked = Buffer.from(payload);
  // Letter and number, two names, the identity, the number of columns.
  let at = behindText(marked, behindText(marked, 1 + 4)) + 1 + 2;
  for (const { name } of relation.columns) {
    if (key.includes(name)) marked.writeUInt8(marked.readUInt8(at) | KEY_COLUMN, at);
    // Flags and name, type and its modifier.
    at = behindText(marked, at + 1) + 4 + 4;
  }
  return marked;
}

function behindText(bytes: Buffer, at: number): number {
  return bytes.indexOf(0, at) + 1;
}
