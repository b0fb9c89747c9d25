import type { DataObject } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import { fetchObject } from '../../data-objects.ts';
import type { RestoreContext } from '../../engine.ts';
import { whileBeating } from '../../heartbeat.ts';
import { inLane } from '../lanes/lanes.ts';
import { underRestore } from './bookkeeping.ts';
import { type DatabaseJob, databaseOf, loadTasks, type RestoreJob, restoreJob } from './job.ts';

/** Loads the objects of one task, each in a transaction that also notes it as loaded. */
export async function load(
  context: RestoreContext,
  task: number,
): Promise<{ readonly rows: number; readonly bytes: number }> {
  const job = await restoreJob(context);
  const objects = (await loadTasks(job))[task];
  const [first] = objects ?? [];
  if (objects === undefined || first === undefined) {
    throw permanent(
      'RESTORE_NO_SUCH_TASK',
      `The restore has no load task ${task}`,
      'Start the restore again.',
    );
  }
  const database = databaseOf(job, first.table.database);
  return await whileBeating(context, async (tell) => {
    let rows = 0;
    let bytes = 0;
    let next = fetchObject(job.context, first);
    for (const [index, object] of objects.entries()) {
      const body = await next;
      const following = objects[index + 1];
      if (following !== undefined) next = fetchObject(job.context, following);
      await loadObject(job, database, object, body);
      rows += object.rows;
      bytes += object.bytes;
      tell({ task, rows, bytes });
    }
    return { rows, bytes };
  });
}

async function loadObject(
  job: RestoreJob,
  database: DatabaseJob,
  object: DataObject,
  bytes: Uint8Array,
): Promise<void> {
  const { target, names, restore, signal } = underRestore(job, database);
  const { encoding } = database.manifest;
  const body = ownMemory(bytes);
  await inLane(
    { kind: 'load', target, names, restore, object, encoding, body },
    { signal, transfer: [body.buffer] },
  );
}

/** The bytes in memory that nobody else looks at, and so may be handed over: a small buffer is often a slice of a shared one. */
function ownMemory(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length) return new Uint8Array(buffer);
  return new Uint8Array(bytes);
}
