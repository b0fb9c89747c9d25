/*
 * The binary format of COPY (PostgreSQL documentation, COPY, "Binary Format"): a header, then each row as the number of its fields and each field as its
 * length (-1 for NULL) and its bytes, all numbers big-endian; then a trailer in place of a row.
 */

/** Signature, flags (none) and the length of the extension (none). */
export const BINARY_HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
/** A number of fields that no row has. */
export const BINARY_TRAILER = Buffer.from([0xff, 0xff]);

/** Takes the rows that a reader finds. A row that goes over several blocks comes as parts and a last piece. */
export interface RowPieces {
  /** Bytes of a row that goes on in the next block. */
  part(bytes: Buffer): void;
  /** The last bytes of a row, or all of them. */
  end(bytes: Buffer): void;
}

const COUNT_BYTES = 2;
const LENGTH_BYTES = 4;
const NULL_LENGTH = 0xff_ff_ff_ff;
const TRAILER_COUNT = 0xff_ff;

/** Finds the rows in COPY's binary format, block by block; a row may be cut by the end of a block anywhere. */
export class BinaryRows {
  rows = 0;
  readonly #pieces: RowPieces | undefined;
  readonly #withFrame: boolean;
  /** Bytes of the header still to come. */
  #headerLeft: number;
  /** A number under way: what is known of it, and how many bytes are to come. */
  #number = 0;
  #numberLeft = COUNT_BYTES;
  /** Bytes of the current value still to come, and fields after it. Undefined fields: the number under way is their count. */
  #valueLeft = 0;
  #fieldsLeft: number | undefined;
  #ended = false;

  /** @param withFrame false for rows that stand without header and trailer */
  constructor(pieces?: RowPieces, { withFrame = true }: { readonly withFrame?: boolean } = {}) {
    this.#pieces = pieces;
    this.#withFrame = withFrame;
    this.#headerLeft = withFrame ? BINARY_HEADER.length : 0;
  }

  /** Throws where the bytes are not in the format. */
  add(block: Buffer): void {
    let at = this.#skipHeader(block);
    let rowFrom = at;
    while (at < block.length) {
      if (this.#ended) throw new Error('there are bytes after the end of the rows');
      if (this.#valueLeft > 0) {
        const taken = Math.min(this.#valueLeft, block.length - at);
        this.#valueLeft -= taken;
        at += taken;
      } else {
        while (this.#numberLeft > 0 && at < block.length) {
          this.#number = this.#number * 256 + (block[at] ?? 0);
          this.#numberLeft -= 1;
          at += 1;
        }
        if (this.#numberLeft > 0) break;
        if (!this.#takeNumber()) {
          // The trailer is no row.
          rowFrom = at;
          continue;
        }
      }
      if (this.#valueLeft === 0 && this.#fieldsLeft === 0) {
        this.rows += 1;
        this.#pieces?.end(block.subarray(rowFrom, at));
        rowFrom = at;
        this.#fieldsLeft = undefined;
        this.#expect(COUNT_BYTES);
      }
    }
    if (rowFrom < block.length) this.#pieces?.part(block.subarray(rowFrom));
  }

  /** Throws where the bytes ended within a row or before the trailer. */
  end(): void {
    const isBetweenRows =
      this.#headerLeft === 0 && this.#fieldsLeft === undefined && this.#numberLeft === COUNT_BYTES;
    if (this.#withFrame ? !this.#ended : !isBetweenRows)
      throw new Error('it ends before the end of the rows');
  }

  #skipHeader(block: Buffer): number {
    if (this.#headerLeft === 0) return 0;
    const from = BINARY_HEADER.length - this.#headerLeft;
    const piece = block.subarray(0, this.#headerLeft);
    if (!BINARY_HEADER.subarray(from, from + piece.length).equals(piece))
      throw new Error('it does not begin as the binary format of COPY does');
    this.#headerLeft -= piece.length;
    return piece.length;
  }

  /** False for the trailer. */
  #takeNumber(): boolean {
    if (this.#fieldsLeft === undefined) {
      if (this.#number === TRAILER_COUNT) {
        this.#ended = true;
        return false;
      }
      this.#fieldsLeft = this.#number;
    } else {
      this.#valueLeft = this.#number === NULL_LENGTH ? 0 : this.#number;
      this.#fieldsLeft -= 1;
    }
    if (this.#fieldsLeft > 0 || this.#valueLeft > 0) this.#expect(LENGTH_BYTES);
    return true;
  }

  #expect(bytes: number): void {
    this.#number = 0;
    this.#numberLeft = bytes;
  }
}
