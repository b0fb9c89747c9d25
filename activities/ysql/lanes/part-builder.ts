import { createHash } from 'node:crypto';
import { compressFrame } from '../../../repository/zstd-frames.ts';
import type { CopyBlock } from '../copy-out.ts';
import type { Part } from './protocol.ts';

const FIRST_MEMORY_BYTES = 8 * 1024 * 1024;

/** Memory of the last part of this thread: fresh pages cost the kernel about as much as their compression saves. */
let spare: ArrayBuffer | undefined;

/** One part under construction: each block becomes a frame behind the ones before it. */
export class PartBuilder {
  rows = 0;
  /** Of COPY text. */
  bytes = 0;
  readonly #level: number;
  #memory: ArrayBuffer;
  #length = 0;
  #hash = createHash('sha256');

  constructor(level: number) {
    this.#level = level;
    this.#memory = spare ?? new ArrayBuffer(FIRST_MEMORY_BYTES);
    spare = undefined;
  }

  /** Takes whole rows; the block may be overwritten afterwards. */
  add(block: CopyBlock): void {
    const frame = compressFrame(block.data, this.#level);
    const end = this.#length + frame.length;
    if (end > this.#memory.byteLength) {
      this.#memory = this.#memory.transfer(Math.max(end, 2 * this.#memory.byteLength));
    }
    new Uint8Array(this.#memory).set(frame, this.#length);
    this.#length = end;
    this.#hash.update(frame);
    this.rows += block.rows;
    this.bytes += block.data.length;
  }

  /** The part, whose memory is no longer ours. */
  finish(): Part {
    const body = new Uint8Array(this.#memory, 0, this.#length);
    return { body, sha256: this.#hash.digest('hex'), rows: this.rows, bytes: this.bytes };
  }

  /** Begins the next part in the memory of the one that was taken. */
  reuse(memory: ArrayBuffer): void {
    this.#memory = memory;
    this.#length = 0;
    this.#hash = createHash('sha256');
    this.rows = 0;
    this.bytes = 0;
  }

  /** Leaves the memory to the next chunk of this thread. */
  release(): void {
    spare = this.#memory;
  }
}
