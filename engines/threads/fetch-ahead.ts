import type { DataObject } from '../../model/backup.ts';
import { fetchObject } from '../data-objects.ts';
import type { BackupContext } from '../engine.ts';
import { borrowMemory, returnMemory, type SharedMemory } from './shared-memory.ts';

export interface Fetched {
  readonly object: DataObject;
  /** Valid until the next one is asked for. */
  readonly body: Uint8Array<SharedArrayBuffer>;
}

/** The objects in order, each fetched while the one before it is in use. Memory: two compressed objects. */
export async function* fetchAhead(
  context: Pick<BackupContext, 'store' | 'folder' | 'signal'>,
  objects: readonly DataObject[],
): AsyncGenerator<Fetched> {
  const fetches: Promise<Uint8Array>[] = [];
  const [present, following] = [borrowMemory(), borrowMemory()];
  const memoryOf = (index: number): SharedMemory => (index % 2 === 0 ? present : following);
  const fetch = (index: number): void => {
    const object = objects[index];
    if (object === undefined) return;
    fetches.push(fetchObject(context, object, (bytes) => memoryOf(index).view(bytes)));
  };
  try {
    fetch(0);
    for (const [index, object] of objects.entries()) {
      await fetches[index];
      fetch(index + 1);
      yield { object, body: memoryOf(index).view(object.sizeBytes) };
    }
  } finally {
    // Only when no fetch writes into it any more may the memory be another's.
    await Promise.allSettled(fetches);
    returnMemory(present);
    returnMemory(following);
  }
}
