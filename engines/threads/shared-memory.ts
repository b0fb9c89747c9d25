/*
 * Memory for compressed objects that two threads look at, used again and again. Memory that is handed over instead, or freshly
 * allocated for each object, counts as garbage of whoever holds it, and sets the main thread's collector to work on the whole
 * heap of that thread with every object: a third of the worker's CPU, as measured.
 */

const FIRST_BYTES = 8 * 1024 * 1024;
/** Address space that the memory grows into without being moved; the kernel gives memory for what is written alone. */
const RESERVED_BYTES = 128 * 1024 * 1024;
/** Memory that nobody borrows is given up after this long. */
const IDLE_MS = 60_000;

export class SharedMemory {
  #buffer = reserve(FIRST_BYTES);

  /** The memory's first `bytes` bytes, of which the first `kept` are as they were. */
  view(bytes: number, kept = 0): Uint8Array<SharedArrayBuffer> {
    const present = this.#buffer;
    if (bytes > present.byteLength) {
      const wanted = Math.max(bytes, 2 * present.byteLength);
      if (bytes <= present.maxByteLength) present.grow(Math.min(wanted, present.maxByteLength));
      else {
        this.#buffer = reserve(wanted);
        new Uint8Array(this.#buffer).set(new Uint8Array(present, 0, kept));
      }
    }
    return new Uint8Array(this.#buffer, 0, bytes);
  }
}

function reserve(bytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(bytes, { maxByteLength: Math.max(RESERVED_BYTES, bytes) });
}

const spares: SharedMemory[] = [];
let expiry: NodeJS.Timeout | undefined;

/** Memory of which nobody else has a view, until it is returned. */
export function borrowMemory(): SharedMemory {
  return spares.pop() ?? new SharedMemory();
}

/** Whoever returns memory must be sure that nobody writes into it any more. */
export function returnMemory(memory: SharedMemory): void {
  spares.push(memory);
  clearTimeout(expiry);
  expiry = setTimeout(() => spares.splice(0), IDLE_MS).unref();
}
