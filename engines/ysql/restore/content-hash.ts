import { createHash, type Hash, hash } from 'node:crypto';
import { BinaryRows, type RowPieces } from '../../../repository/backups/copy-binary.ts';

const LINE_FEED = 0x0a;
const MODULUS = 1n << 128n;

/** The format of the hashed data: COPY text; an object in COPY's binary format; or its rows alone, without header and trailer. */
export type HashedFormat = 'text' | 'binary-object' | 'binary-rows';

/**
 * Hash of a multiset of rows that ignores their order: the sum modulo 2^128 of the first half of each row's SHA-256. Two sets of
 * rows that differ in a byte, a row or a row's count have different sums.
 */
export class MultisetHash {
  #sum = 0n;
  #rows = 0;
  /** Hash of an incomplete row, so that a long row is neither kept nor copied. */
  #partialRow: Hash | undefined;
  readonly #pieces: RowPieces = {
    part: (bytes) => {
      this.#partialRow ??= createHash('sha256');
      this.#partialRow.update(bytes);
    },
    end: (bytes) => this.#endRow(bytes),
  };

  /** Adds the rows in `blocks`, which may be cut anywhere. The rows of several calls form one set; each call must begin and end between rows. */
  async addAll(blocks: AsyncIterable<Buffer>, format: HashedFormat): Promise<void> {
    const rows = this.#rowsOf(format);
    for await (const block of blocks) rows.add(block);
    rows.end();
  }

  get value(): string {
    return `${this.#rows}:${this.#sum.toString(16)}`;
  }

  #rowsOf(format: HashedFormat): Rows {
    switch (format) {
      case 'text':
        return new TextRows(this.#pieces);
      case 'binary-object':
        return new BinaryRows(this.#pieces);
      case 'binary-rows':
        return new BinaryRows(this.#pieces, { withFrame: false });
    }
  }

  #endRow(rest: Uint8Array): void {
    const digest =
      this.#partialRow === undefined
        ? hash('sha256', rest, 'buffer')
        : this.#partialRow.update(rest).digest();
    this.#partialRow = undefined;
    this.#sum = (this.#sum + ((digest.readBigUInt64BE(0) << 64n) | digest.readBigUInt64BE(8))) % MODULUS;
    this.#rows += 1;
  }
}

interface Rows {
  add(block: Buffer): void;
  end(): void;
}

/** Lines of COPY text. */
class TextRows implements Rows {
  readonly #pieces: RowPieces;

  constructor(pieces: RowPieces) {
    this.#pieces = pieces;
  }

  add(block: Buffer): void {
    let start = 0;
    for (let end = block.indexOf(LINE_FEED, start); end >= 0; end = block.indexOf(LINE_FEED, start)) {
      this.#pieces.end(block.subarray(start, end));
      start = end + 1;
    }
    if (start < block.length) this.#pieces.part(block.subarray(start));
  }

  end(): void {
    // A line without a line feed is not a row.
  }
}
