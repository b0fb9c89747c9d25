import type { DataObject } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import type { RestoreContext } from '../../engine.ts';
import { partsOf } from '../../tell-parts.ts';
import { fetchAhead } from '../../threads/fetch-ahead.ts';
import { journalTableFor } from '../journal-table.ts';
import { sharedLimit } from '../shared-session.ts';
import { threads } from '../thread-pool.ts';
import { destinationOf, loadTasks, type RestoreJob, restoreJob, wishesOf } from './job.ts';

/**
 * Loads the objects of one task. Notes each object as begun before its first row, and as loaded after its last. Throws `RESTORE_NO_SUCH_TASK`
 * (permanent).
 */
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
  return await loadObjects(job, objects, (rows) => {
    context.heartbeat({ task, rows });
  });
}

/** Loads objects one after another, except those noted as loaded. */
export async function loadObjects(
  job: RestoreJob,
  objects: readonly DataObject[],
  report: (rows: number) => void,
): Promise<{ readonly rows: number; readonly bytes: number }> {
  let rows = 0;
  let bytes = 0;
  const moved = partsOf(job.context, 'LoadPart');
  for await (const { object, body } of fetchAhead(job.context, objects)) {
    await loadObject(job, object, body, (written) => report(rows + written));
    rows += object.rows;
    bytes += object.bytes;
    moved(object);
  }
  return { rows, bytes };
}

async function loadObject(
  job: RestoreJob,
  object: DataObject,
  body: Uint8Array<SharedArrayBuffer>,
  report: (rows: number) => void,
): Promise<void> {
  const { target, source, context } = job;
  const { keyspace, table } = destinationOf(job, object);
  await threads.run(
    {
      kind: 'load',
      target,
      source,
      limit: sharedLimit(target, source),
      object,
      body,
      table,
      into: keyspace.to,
      journal: journalTableFor(keyspace.schema),
      types: keyspace.schema.types,
      wishes: wishesOf(job),
    },
    {
      signal: context.signal,
      onProgress: report,
      onLog: (message, fields) => context.log(message, fields),
    },
  );
}
