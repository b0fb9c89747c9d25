import { int32 } from './bytes.ts';

/** A cell as it stands in a page: its bytes, or null. */
export type RawCell = Buffer | null;

/** The rows of a page, cell by cell, without copying. `width` is the number of columns. Throws `RangeError` on a page cut off. */
export function* rowsOf(
  page: { readonly rows: number; readonly body: Buffer },
  width: number,
): Generator<RawCell[]> {
  const { body } = page;
  let at = 0;
  for (let row = 0; row < page.rows; row += 1) {
    const cells = new Array<RawCell>(width);
    for (let column = 0; column < width; column += 1) {
      const length = body.readInt32BE(at);
      at += 4;
      if (length < 0) cells[column] = null;
      else {
        if (at + length > body.length) throw new RangeError('the page ends within a cell');
        cells[column] = body.subarray(at, at + length);
        at += length;
      }
    }
    yield cells;
  }
  if (at !== body.length) throw new RangeError(`the page has ${body.length - at} bytes too many`);
}

/** The elements of a list or set as it stands in a cell. */
export function elementsOf(cell: Buffer): readonly RawCell[] {
  const elements: RawCell[] = [];
  let at = 4;
  for (let left = cell.length < 4 ? 0 : cell.readInt32BE(0); left > 0; left -= 1) {
    const length = cell.readInt32BE(at);
    at += 4;
    elements.push(length < 0 ? null : cell.subarray(at, at + length));
    at += Math.max(0, length);
  }
  return elements;
}

/** The keys and values of a map as it stands in a cell. */
export function entriesOf(cell: Buffer): readonly (readonly [RawCell, RawCell])[] {
  const entries: (readonly [RawCell, RawCell])[] = [];
  let at = 4;
  const next = (): RawCell => {
    const length = cell.readInt32BE(at);
    at += 4;
    const value = length < 0 ? null : cell.subarray(at, at + length);
    at += Math.max(0, length);
    return value;
  };
  for (let left = cell.length < 4 ? 0 : cell.readInt32BE(0); left > 0; left -= 1)
    entries.push([next(), next()]);
  return entries;
}

/** The fields of a user-defined type or tuple, in order; those that the value doesn't reach are missing. */
export function fieldsOf(cell: Buffer): readonly RawCell[] {
  const fields: RawCell[] = [];
  for (let at = 0; at < cell.length; ) {
    const length = cell.readInt32BE(at);
    at += 4;
    fields.push(length < 0 ? null : cell.subarray(at, at + length));
    at += Math.max(0, length);
  }
  return fields;
}

/** The counterpart of `elementsOf`, and of `entriesOf` with keys and values in turn. */
export function joinElements(count: number, cells: readonly RawCell[]): Buffer {
  const parts: Buffer[] = [int32(count)];
  for (const cell of cells) {
    if (cell === null) parts.push(int32(-1));
    else parts.push(int32(cell.length), cell);
  }
  return Buffer.concat(parts);
}
