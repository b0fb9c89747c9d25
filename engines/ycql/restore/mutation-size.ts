import type { BoundStatement } from '../bound-statement.ts';
import { type CqlType, isMultiCell } from '../cql-type.ts';
import { elementsOf, entriesOf, fieldsOf, type RawCell } from '../rows.ts';

/*
 * A server refuses a mutation of more than half a segment of its commit log (Cassandra: `max_mutation_size`, 16 MiB by default). A row that grew cell by cell may be
 * larger. Statements with one time of writing amount to the same as one statement of all of their cells, so what is too large is cut into several.
 */

/** The most bytes of values that go in one statement, or in one batch of a row, unless a single cell has more. */
export const MUTATION_BYTES = 1024 * 1024;

/** What a mutation holds of a cell besides its value, about: its path, its flags, its length. */
const BYTES_BESIDE = 24;

/** Cuts a list into runs of at most `MUTATION_BYTES`, each of one item at least, in order. */
export function cutBySize<T>(items: readonly T[], bytesOf: (item: T) => number): readonly T[][] {
  const runs: T[][] = [];
  let [run, bytes]: [T[], number] = [[], 0];
  for (const item of items) {
    const more = bytesOf(item);
    if (run.length > 0 && bytes + more > MUTATION_BYTES) {
      runs.push(run);
      [run, bytes] = [[], 0];
    }
    run.push(item);
    bytes += more;
  }
  return run.length === 0 ? runs : [...runs, run];
}

/** The bytes of a statement's parameters. */
export function bytesOfStatement({ params }: BoundStatement): number {
  let bytes = 0;
  for (const param of params) bytes += Buffer.isBuffer(param) ? param.length : 0;
  return bytes;
}

/** What a value makes in a mutation, about. Elements of a collection that isn't frozen are cells of their own. */
export function bytesOfValue(type: CqlType, value: Buffer): number {
  const isCounted = isMultiCell(type) && type.kind !== 'udt' && value.length >= 4;
  return value.length + BYTES_BESIDE * (isCounted ? value.readInt32BE(0) : 1);
}

/** What each element of a collection makes in a mutation, about, by its index. */
export function bytesOfElements(type: CqlType, value: Buffer): readonly number[] {
  const size = (cell: RawCell) => cell?.length ?? 0;
  if (type.kind === 'map')
    return entriesOf(value).map(([key, element]) => size(key) + size(element) + BYTES_BESIDE);
  const elements = type.kind === 'udt' ? fieldsOf(value) : elementsOf(value);
  return elements.map((element) => size(element) + BYTES_BESIDE);
}
