import { createHash } from 'node:crypto';
import { freeBuffer } from '../../repository/free-memory.ts';
import { compressFrame } from '../../repository/zstd-frames.ts';
import type { Part } from './protocol.ts';
import { borrowMemory, returnMemory } from './shared-memory.ts';

/** One part under construction: each block becomes a frame behind the ones before it. */
export class PartBuilder {
  rows = 0;
  /** Before compression. */
  bytes = 0;
  readonly #level: number;
  readonly #memory = borrowMemory();
  #length = 0;
  #hash = createHash('sha256');

  constructor(level: number) {
    this.#level = level;
  }

  /** After compression. */
  get storedBytes(): number {
    return this.#length;
  }

  /** Takes whole rows; the block may be overwritten afterwards. */
  add(data: Uint8Array, rows: number): void {
    const frame = compressFrame(data, this.#level);
    const end = this.#length + frame.length;
    this.#memory.view(end, this.#length).set(frame, this.#length);
    this.#length = end;
    this.#hash.update(frame);
    freeBuffer(frame);
    this.rows += rows;
    this.bytes += data.length;
  }

  /** The part; valid until `restart`. */
  finish(): Part {
    const body = this.#memory.view(this.#length);
    return { body, sha256: this.#hash.digest('hex'), rows: this.rows, bytes: this.bytes };
  }

  /** Begins the next part in the memory of the one that was taken. */
  restart(): void {
    this.#length = 0;
    this.#hash = createHash('sha256');
    this.rows = 0;
    this.bytes = 0;
  }

  /** Leaves the memory to the next chunk of this thread. */
  release(): void {
    returnMemory(this.#memory);
  }
}
