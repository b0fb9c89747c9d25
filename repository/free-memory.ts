import { isMarkedAsUntransferable } from 'node:worker_threads';

/**
 * Frees memory now that the garbage collector would free some time: lanes and transfers make hundreds of MiB of it, which otherwise pile up
 * to 64 MiB in each thread and have the heap collected again and again. Only for memory that is nobody else's; whoever still
 * looks at it finds it empty.
 */
export function freeMemory(memory: ArrayBufferLike): void {
  if (memory instanceof ArrayBuffer && !memory.detached && !isMarkedAsUntransferable(memory))
    memory.transfer(0);
}

/** As `freeMemory`, for a buffer whose memory is ours unless it is a slice of Node's pool, as small ones are. */
export function freeBuffer({ buffer }: Uint8Array): void {
  if (buffer.byteLength > Buffer.poolSize) freeMemory(buffer);
}

/** As `freeMemory`, for a buffer that is all that its memory holds; a slice of Node's pool never is, and stays as it is. */
export function freeIfAlone({ buffer, byteLength }: Uint8Array): void {
  if (byteLength > 0 && buffer.byteLength - byteLength <= 1) freeMemory(buffer);
}
