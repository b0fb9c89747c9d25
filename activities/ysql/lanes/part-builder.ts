import { createHash } from 'node:crypto';
import { compressFrame } from '../../../repository/zstd-frames.ts';
import type { CopyBlock } from '../copy-out.ts';
import type { Part } from './protocol.ts';

const FIRST_MEMORY_BYTES = 8 * 1024 * 1024;
/** Address space that a part grows into without being moved; the kernel gives memory for what is written alone. */
const RESERVED_BYTES = 128 * 1024 * 1024;

/** Memory of the last part of this thread: fresh pages cost the kernel about as much as their compression saves. */
let spare: SharedArrayBuffer | undefined;

/**
 * One part under construction: each block becomes a frame behind the ones before it. Its memory is shared with the main
 * thread: memory that is handed over counts as the receiver's garbage, and set its collector to work with every part.
 */
export class PartBuilder {
  rows = 0;
  /** Of COPY text. */
  bytes = 0;
  readonly #level: number;
  #memory: SharedArrayBuffer;
  #length = 0;
  #hash = createHash('sha256');

  constructor(level: number) {
    this.#level = level;
    this.#memory = spare ?? reserve(FIRST_MEMORY_BYTES);
    spare = undefined;
  }

  /** Takes whole rows; the block may be overwritten afterwards. */
  add(block: CopyBlock): void {
    const frame = compressFrame(block.data, this.#level);
    const end = this.#length + frame.length;
    if (end > this.#memory.byteLength) this.#growTo(Math.max(end, 2 * this.#memory.byteLength));
    new Uint8Array(this.#memory).set(frame, this.#length);
    this.#length = end;
    this.#hash.update(frame);
    this.rows += block.rows;
    this.bytes += block.data.length;
  }

  /** The part; valid until `restart`. */
  finish(): Part {
    const body = new Uint8Array(this.#memory, 0, this.#length);
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
    spare = this.#memory;
  }

  #growTo(bytes: number): void {
    if (bytes <= this.#memory.maxByteLength) {
      this.#memory.grow(bytes);
      return;
    }
    const larger = reserve(bytes);
    new Uint8Array(larger).set(new Uint8Array(this.#memory, 0, this.#length));
    this.#memory = larger;
  }
}

function reserve(bytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(bytes, { maxByteLength: Math.max(RESERVED_BYTES, 2 * bytes) });
}
