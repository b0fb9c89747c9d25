import { int32 } from './bytes.ts';

/** A cell of a page: its bytes, or null. */
export type RawCell = Buffer | null;

/** Whether two cells are equal. Null equals only null. */
export function sameCell(one: RawCell, other: RawCell): boolean {
  return one === null || other === null ? one === other : one.equals(other);
}

/** Whether two keys are the same. */
export function sameCells(one: readonly RawCell[], other: readonly RawCell[] | undefined): boolean {
  return other !== undefined && one.every((cell, index) => sameCell(cell, other[index] ?? null));
}

/**
 * Walks over the rows of a page, and cuts out only the cells that are asked for: most of what a row has besides its values (write times, TTLs)
 * needs only to be compared. `next` throws `RangeError` on a page that is cut off, or too long.
 */
export class RowWalk {
  readonly #body: Buffer;
  readonly #width: number;
  readonly #begins: Int32Array;
  readonly #lengths: Int32Array;
  #left: number;
  #at = 0;

  /** @param width the number of columns */
  constructor({ rows, body }: { readonly rows: number; readonly body: Buffer }, width: number) {
    this.#body = body;
    this.#width = width;
    this.#left = rows;
    this.#begins = new Int32Array(width);
    this.#lengths = new Int32Array(width);
  }

  /** Moves to the next row. Returns false if there is none. */
  next(): boolean {
    const body = this.#body;
    let at = this.#at;
    if (this.#left === 0) {
      if (at !== body.length) throw new RangeError(`the page has ${body.length - at} bytes too many`);
      return false;
    }
    for (let column = 0; column < this.#width; column += 1) {
      const length = body.readInt32BE(at);
      at += 4;
      this.#begins[column] = at;
      this.#lengths[column] = length;
      if (length > 0) at += length;
      if (at > body.length) throw new RangeError('the page ends within a cell');
    }
    this.#at = at;
    this.#left -= 1;
    return true;
  }

  isNull(column: number): boolean {
    return (this.#lengths[column] ?? -1) < 0;
  }

  /** The current row's cell, in the page's memory. */
  cell(column: number): RawCell {
    const length = this.#lengths[column] ?? -1;
    const begin = this.#begins[column] ?? 0;
    return length < 0 ? null : this.#body.subarray(begin, begin + length);
  }

  cells(): RawCell[] {
    return Array.from({ length: this.#width }, (_, column) => this.cell(column));
  }

  /** Whether two cells are equal. Null equals only null. */
  isSame(one: number, other: number): boolean {
    const length = this.#lengths[one] ?? -1;
    if (length !== (this.#lengths[other] ?? -1)) return false;
    const [first, second] = [this.#begins[one] ?? 0, this.#begins[other] ?? 0];
    for (let at = 0; at < length; at += 1) {
      if (this.#body[first + at] !== this.#body[second + at]) return false;
    }
    return true;
  }
}

/** The rows of a page, cell by cell, without copying. `width` is the number of columns. Throws `RangeError` on a page cut off. */
export function* rowsOf(
  page: { readonly rows: number; readonly body: Buffer },
  width: number,
): Generator<RawCell[]> {
  const walk = new RowWalk(page, width);
  while (walk.next()) yield walk.cells();
}

/** The elements of a list or set in a cell. */
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

/** The keys and values of a map in a cell. */
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

/** The fields of a user-defined type or tuple, in order, without those after the value's end. */
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

/** The inverse of `elementsOf`, and of `entriesOf` with keys and values in turn. */
export function joinElements(count: number, cells: readonly RawCell[]): Buffer {
  const parts: Buffer[] = [int32(count)];
  for (const cell of cells) {
    if (cell === null) parts.push(int32(-1));
    else parts.push(int32(cell.length), cell);
  }
  return Buffer.concat(parts);
}
