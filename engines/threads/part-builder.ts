import { createHash } from 'node:crypto';
import { compressFrame } from '../../repository/backups/zstd-frames.ts';
import { freeBuffer } from '../../repository/free-memory.ts';
import type { Part } from './protocol.ts';
import { borrowMemory, returnMemory } from './shared-memory.ts';

/** Builds one part: compresses each block to a frame and appends it. Finished parts may lie before it in the same memory. */
export class PartBuilder {
  rows = 0;
  /** Before compression. */
  bytes = 0;
  readonly #level: number;
  readonly #memory = borrowMemory();
  /** Where the part begins in the memory. */
  #start = 0;
  #length = 0;
  #hash = createHash('sha256');

  constructor(level: number) {
    this.#level = level;
  }

  /** After compression, with the finished parts before it. */
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
    const body = this.#memory.view(this.#length, this.#length).subarray(this.#start);
    return { body, sha256: this.#hash.digest('hex'), rows: this.rows, bytes: this.bytes };
  }

  /** Begins the next part behind the one that was finished, which stays valid. */
  next(): void {
    this.#start = this.#length;
    this.#begin();
  }

  /** Begins the next part at the start of the memory. The parts before it must have been taken. */
  restart(): void {
    this.#start = 0;
    this.#length = 0;
    this.#begin();
  }

  /** Returns the memory, for the next chunk of this thread. */
  release(): void {
    returnMemory(this.#memory);
  }

  #begin(): void {
    this.#hash = createHash('sha256');
    this.rows = 0;
    this.bytes = 0;
  }
}
