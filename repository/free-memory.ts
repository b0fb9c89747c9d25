import { isMarkedAsUntransferable } from 'node:worker_threads';

/**
 * Frees memory at once instead of at the next garbage collection. Transfers leave hundreds of MiB of it, which would otherwise
 * pile up to 64 MiB in each thread and make the collector run again and again. Only for memory that nothing else uses: whatever
 * still refers to it finds it empty.
 */
export function freeMemory(memory: ArrayBufferLike): void {
  if (memory instanceof ArrayBuffer && !memory.detached && !isMarkedAsUntransferable(memory))
    memory.transfer(0);
}

/**
 * Frees the memory of a buffer that has memory of its own. Leaves a small buffer alone, since it may be a slice of Node's pool.
 */
export function freeBuffer({ buffer }: Uint8Array): void {
  if (buffer.byteLength > Buffer.poolSize) freeMemory(buffer);
}

/** Frees the memory of a buffer that fills all of it. Leaves a slice of Node's pool alone, since that doesn't. */
export function freeIfAlone({ buffer, byteLength }: Uint8Array): void {
  if (byteLength > 0 && buffer.byteLength - byteLength <= 1) freeMemory(buffer);
}
