import { isMarkedAsUntransferable } from 'node:worker_threads';

/**
 * Frees memory at once that the garbage collector would free later. Transfers leave hundreds of MiB of it, which would otherwise
 * pile up to 64 MiB in each thread and have the heap collected again and again. Only for memory that nothing else uses: what still
 * refers to it finds it empty.
 */
export function freeMemory(memory: ArrayBufferLike): void {
  if (memory instanceof ArrayBuffer && !memory.detached && !isMarkedAsUntransferable(memory))
    memory.transfer(0);
}

/** As `freeMemory`, for a buffer whose memory is its own. A small one may be a slice of Node's pool, and is left alone. */
export function freeBuffer({ buffer }: Uint8Array): void {
  if (buffer.byteLength > Buffer.poolSize) freeMemory(buffer);
}

/** As `freeMemory`, for a buffer that takes up its whole memory. A slice of Node's pool doesn't, and is left alone. */
export function freeIfAlone({ buffer, byteLength }: Uint8Array): void {
  if (byteLength > 0 && buffer.byteLength - byteLength <= 1) freeMemory(buffer);
}
