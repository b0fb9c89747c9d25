/**
 * Puts the pieces of a stream together once as many bytes are there as are needed. A message may be as large as a gigabyte, and to put it together again with
 * each of its pieces would take hours.
 */
export class Gathering {
  #pieces: Buffer[] = [];
  #bytes = 0;
  #needed = 0;

  /** Bytes that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** All that is there, in one; undefined where it is less than `keep` said is needed. */
  add(piece: Buffer): Buffer | undefined {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    if (this.#bytes < this.#needed) return undefined;
    const all = this.#pieces.length === 1 ? piece : Buffer.concat(this.#pieces, this.#bytes);
    this.#pieces = [];
    this.#bytes = 0;
    return all;
  }

  /** @param needed bytes, those of `rest` among them, before anything can be done with it */
  keep(rest: Buffer, needed: number): void {
    this.#pieces = rest.length === 0 ? [] : [rest];
    this.#bytes = rest.length;
    this.#needed = needed;
  }
}
