import type { DataObject } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import { fetchObject } from '../../data-objects.ts';
import type { RestoreContext } from '../../engine.ts';
import { whileBeating } from '../../heartbeat.ts';
import { inLane } from '../lanes/lanes.ts';
import { borrowMemory, returnMemory, type SharedMemory } from '../lanes/shared-memory.ts';
import { underRestore } from './bookkeeping.ts';
import { databaseOf, loadTasks, type RestoreJob, restoreJob } from './job.ts';

/** Loads the objects of one task, each in a transaction that also notes it as loaded. */
export async function load(
  context: RestoreContext,
  task: number,
): Promise<{ readonly rows: number; readonly bytes: number }> {
  const job = await restoreJob(context);
  const objects = (await loadTasks(job))[task];
  if (objects === undefined) {
    throw permanent(
      'RESTORE_NO_SUCH_TASK',
      `The restore has no load task ${task}`,
      'Start the restore again.',
    );
  }
  return await whileBeating(context, async (tell) => {
    let rows = 0;
    let bytes = 0;
    for await (const { object, body } of fetchAhead(context, objects)) {
      await loadObject(job, object, body);
      rows += object.rows;
      bytes += object.bytes;
      tell({ task, rows, bytes });
    }
    return { rows, bytes };
  });
}

interface Fetched {
  readonly object: DataObject;
  /** Valid until the next one is asked for. */
  readonly body: Uint8Array<SharedArrayBuffer>;
}

/** The objects in order, each fetched while the one before it is in use. Memory: two compressed objects. */
async function* fetchAhead(context: RestoreContext, objects: readonly DataObject[]): AsyncGenerator<Fetched> {
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

async function loadObject(
  job: RestoreJob,
  object: DataObject,
  body: Uint8Array<SharedArrayBuffer>,
): Promise<void> {
  const database = databaseOf(job, object.table.database);
  const { target, names, restore, signal } = underRestore(job, database);
  const { encoding } = database.manifest;
  await inLane({ kind: 'load', target, names, restore, object, encoding, body }, { signal });
}
