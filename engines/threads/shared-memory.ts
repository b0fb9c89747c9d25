/*
 * Reusable memory for compressed objects that two threads see. If memory were handed over instead, or allocated for each object, it would be
 * garbage of the thread that holds it. For every object the main thread's collector would then go through that thread's whole heap: a third of the
 * worker's CPU, as measured.
 */

const FIRST_BYTES = 8 * 1024 * 1024;
/** Address space reserved so that the memory grows without being moved. The kernel backs only what is written. */
const RESERVED_BYTES = 128 * 1024 * 1024;
/** Unused memory is freed after this long. */
const IDLE_MS = 60_000;

/** Memory that grows and that two threads can see. */
export class SharedMemory {
  #buffer = reserve(FIRST_BYTES);

  /** Returns the first `bytes` bytes of the memory. The first `kept` of them keep their contents. */
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

/** Borrows memory of which nobody else has a view until it is returned. */
export function borrowMemory(): SharedMemory {
  return spares.pop() ?? new SharedMemory();
}

/** Returns borrowed memory. The caller makes sure that nobody writes into it any more. */
export function returnMemory(memory: SharedMemory): void {
  spares.push(memory);
  clearTimeout(expiry);
  expiry = setTimeout(() => spares.splice(0), IDLE_MS).unref();
}
