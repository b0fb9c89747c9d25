import type { ChunkSpec, TransferTask } from '../model/backup.ts';

/** Bounds what one activity repeats after a crash if its chunks are tiny, and the size of its result. */
const MAX_CHUNKS_PER_TASK = 128;

/**
 * Packs chunks into tasks: a large chunk alone, or small ones of at most `chunkBytes` together, so that thousands of small tables don't cost
 * thousands of activities. The tasks are numbered in the chunks' order, which is the order of the manifest. They are returned in the order in which
 * slots take them: the largest first, so that all slots end at about the same time.
 */
export function packTasks(chunks: readonly ChunkSpec[], chunkBytes: number): readonly TransferTask[] {
  const tasks: (TransferTask & { readonly bytes: number })[] = [];
  let pack: ChunkSpec[] = [];
  let packBytes = 0;
  const close = (): void => {
    if (pack.length > 0) tasks.push({ index: tasks.length, chunks: pack, bytes: packBytes });
    pack = [];
    packBytes = 0;
  };
  for (const chunk of chunks) {
    if (packBytes + chunk.estimatedBytes > chunkBytes || pack.length === MAX_CHUNKS_PER_TASK) close();
    pack.push(chunk);
    packBytes += chunk.estimatedBytes;
  }
  close();
  return tasks.sort((one, other) => other.bytes - one.bytes).map(({ index, chunks }) => ({ index, chunks }));
}
