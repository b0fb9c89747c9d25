import { hash } from 'node:crypto';

const LINE_FEED = 0x0a;
const MODULUS = 1n << 128n;

/**
 * Hash of a multiset of lines, whatever their order: the sum modulo 2^128 of the first half of each line's SHA-256. Two sets of rows
 * that differ in a byte, a row or a row's count have different sums.
 */
export class MultisetHash {
  #sum = 0n;
  #lines = 0;
  #partialLine: Buffer | undefined;

  /** Takes text, any run of bytes of it. */
  add(block: Buffer): void {
    const text = this.#partialLine === undefined ? block : Buffer.concat([this.#partialLine, block]);
    let start = 0;
    for (let end = text.indexOf(LINE_FEED, start); end >= 0; end = text.indexOf(LINE_FEED, start)) {
      this.#addLine(text.subarray(start, end));
      start = end + 1;
    }
    this.#partialLine = start < text.length ? text.subarray(start) : undefined;
  }

  get value(): string {
    return `${this.#lines}:${this.#sum.toString(16)}`;
  }

  #addLine(line: Uint8Array): void {
    const digest = hash('sha256', line, 'buffer');
    this.#sum = (this.#sum + ((digest.readBigUInt64BE(0) << 64n) | digest.readBigUInt64BE(8))) % MODULUS;
    this.#lines += 1;
  }
}
