/*
 * The binary format of COPY (PostgreSQL documentation, COPY, "Binary Format"): a header; then each row as the number of its fields, and each field as
 * its length (-1 for NULL) and its bytes; then a trailer. All numbers are big-endian.
 */

/** Signature, flags (none) and the length of the header's extension (none). */
export const BINARY_HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
/** The trailer: a number of fields that no row can have. */
export const BINARY_TRAILER = Buffer.from([0xff, 0xff]);

/** Receives the rows that a reader finds. A row that spans several blocks comes as parts and a last piece. */
export interface RowPieces {
  /** Bytes of a row that continues in the next block. */
  part(bytes: Buffer): void;
  /** The last bytes of a row, or the whole row. */
  end(bytes: Buffer): void;
}

const COUNT_BYTES = 2;
const LENGTH_BYTES = 4;
const NULL_LENGTH = 0xff_ff_ff_ff;
const TRAILER_COUNT = 0xff_ff;

/** Finds the rows in COPY's binary format, block by block. A block may end anywhere within a row. */
export class BinaryRows {
  rows = 0;
  readonly #pieces: RowPieces | undefined;
  readonly #withFrame: boolean;
  /** Bytes of the header that are still to come. */
  #headerLeft: number;
  /** The number that is being read: its value so far, and how many of its bytes are still to come. */
  #number = 0;
  #numberLeft = COUNT_BYTES;
  /** Bytes of the current value that are still to come, and fields after it. `#fieldsLeft` is undefined while the number of fields is being read. */
  #valueLeft = 0;
  #fieldsLeft: number | undefined;
  #ended = false;

  /** @param withFrame false: the rows have no header and no trailer */
  constructor(pieces?: RowPieces, { withFrame = true }: { readonly withFrame?: boolean } = {}) {
    this.#pieces = pieces;
    this.#withFrame = withFrame;
    this.#headerLeft = withFrame ? BINARY_HEADER.length : 0;
  }

  /** Takes the next block. Throws where the bytes are not in the format. */
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
          // The trailer is not a row.
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

  /** Ends the reading. Throws where the bytes broke off within a row or before the trailer. */
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

  /** Takes a number that is complete. Returns false for the trailer. */
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
