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

/** Whether a buffer is all that its memory holds, so that it may be freed: a slice of Node's pool never is. */
export function isAlone({ buffer, byteLength }: Uint8Array): boolean {
  return byteLength > 0 && buffer.byteLength - byteLength <= 1;
}
