import type { ChunkSpec, DataObject, KeyRange } from '../../model/backup.ts';
import { selectRange } from './key-ranges.ts';
import { quoteTable } from './server/identifiers.ts';

/** The COPY statement that reads one chunk, in the database's own encoding as pg_dump does it. The SQL text itself travels as UTF-8. Pure. */
export function copyToStatement(chunk: ChunkSpec, encoding: string): string {
  const table = quoteTable(chunk.table);
  const format = copyOptions(encoding, chunk.binary !== undefined);
  if (chunk.range.kind === 'key') {
    return `COPY (${selectRange(chunk.range, chunk.columns.join(', '), table)}) TO STDOUT ${format}`;
  }
  const condition = rangeCondition(chunk.range);
  if (condition === '' && chunk.columns.length > 0) {
    return `COPY ${table} (${chunk.columns.join(', ')}) TO STDOUT ${format}`;
  }
  return `COPY (SELECT ${chunk.columns.join(', ')} FROM ONLY ${table} ${condition}) TO STDOUT ${format}`;
}

function rangeCondition(range: Exclude<ChunkSpec['range'], KeyRange>): string {
  if (range.kind === 'whole') return range.condition ?? '';
  if (range.kind === 'ctid') {
    const start = `ctid >= '(${range.from},0)'`;
    return `WHERE ${range.to === null ? start : `${start} AND ctid < '(${range.to},0)'`}`;
  }
  // The server pushes the range down to the tablets only when both bounds are closed and cover exactly the hash key.
  const code = `yb_hash_code(${range.keys.join(', ')})`;
  return `WHERE ${code} >= ${range.from} AND ${code} <= ${range.to}`;
}

/** The counterpart: the COPY statement that loads an object's rows into its table. Pure. */
export function copyFromStatement(
  { table, columns, format }: Pick<DataObject, 'table' | 'columns' | 'format'>,
  encoding: string,
): string {
  const names = columns.length === 0 ? '' : ` (${columns.join(', ')})`;
  return `COPY ${quoteTable(table)}${names} FROM STDIN ${copyOptions(encoding, format === 'copy-binary')}`;
}

/** COPY's options, in parentheses. The binary format gets no ENCODING: text in binary rows has the session's encoding, whatever COPY's options say. */
export function copyOptions(encoding: string, binary: boolean): string {
  return binary ? '(FORMAT binary)' : `(ENCODING '${encoding}')`;
}
