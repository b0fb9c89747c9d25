import type { DataObject } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import type { RestoreContext } from '../../engine.ts';
import { whileBeating } from '../../heartbeat.ts';
import { fetchAhead } from '../../lanes/fetch-ahead.ts';
import { lanes } from '../lanes/jobs.ts';
import { underRestore } from './bookkeeping.ts';
import { databaseOf, loadOrder, type RestoreJob, restoreJob } from './job.ts';

/** Loads the objects of one task, each in a transaction that also notes it as loaded. */
export async function load(
  context: RestoreContext,
  task: number,
): Promise<{ readonly rows: number; readonly bytes: number }> {
  const job = await restoreJob(context);
  const objects = (await loadOrder(job)).tasks[task];
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

async function loadObject(
  job: RestoreJob,
  object: DataObject,
  body: Uint8Array<SharedArrayBuffer>,
): Promise<void> {
  const database = databaseOf(job, object.table.database);
  const { target, names, restore, signal } = underRestore(job, database);
  const { encoding } = database.manifest;
  await lanes.run({ kind: 'load', target, names, restore, object, encoding, body }, { signal });
}
