import { createHash, type Hash, hash } from 'node:crypto';

const LINE_FEED = 0x0a;
const MODULUS = 1n << 128n;

/**
 * Hash of a multiset of lines, whatever their order: the sum modulo 2^128 of the first half of each line's SHA-256. Two sets of rows
 * that differ in a byte, a row or a row's count have different sums.
 */
export class MultisetHash {
  #sum = 0n;
  #lines = 0;
  /** Of a line that has begun and not ended, so that a long one is neither kept nor copied. */
  #partialLine: Hash | undefined;

  /** Takes text, any run of bytes of it. */
  add(block: Buffer): void {
    let start = 0;
    for (let end = block.indexOf(LINE_FEED, start); end >= 0; end = block.indexOf(LINE_FEED, start)) {
      this.#endLine(block.subarray(start, end));
      start = end + 1;
    }
    if (start < block.length) {
      this.#partialLine ??= createHash('sha256');
      this.#partialLine.update(block.subarray(start));
    }
  }

  get value(): string {
    return `${this.#lines}:${this.#sum.toString(16)}`;
  }

  #endLine(rest: Uint8Array): void {
    const digest =
      this.#partialLine === undefined
        ? hash('sha256', rest, 'buffer')
        : this.#partialLine.update(rest).digest();
    this.#partialLine = undefined;
    this.#sum = (this.#sum + ((digest.readBigUInt64BE(0) << 64n) | digest.readBigUInt64BE(8))) % MODULUS;
    this.#lines += 1;
  }
}
