import type { DataObject } from '../../../model/backup.ts';
import { type HoldfastError, permanent } from '../../../model/errors.ts';
import type { RestoreContext } from '../../engine.ts';
import { fetchAhead } from '../../threads/fetch-ahead.ts';
import { copyFromStatement } from '../copy-statements.ts';
import { tableName } from '../server/identifiers.ts';
import { lanes } from '../thread-pool.ts';
import { underRestore, withRestoreSession } from './bookkeeping.ts';
import { isRefusal, reasonIn, TOLERATE_HINT } from './forgiving.ts';
import { databaseOf, loadOrder, type RestoreJob, restoreJob } from './job.ts';
import { noteLeftOut } from './left-out.ts';

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
  let rows = 0;
  let bytes = 0;
  for await (const { object, body } of fetchAhead(context, objects)) {
    if (await loadObject(job, object, body)) {
      rows += object.rows;
      bytes += object.bytes;
    }
    context.heartbeat({ task, rows, bytes });
  }
  return { rows, bytes };
}

/** Returns false where its rows are left out. */
async function loadObject(
  job: RestoreJob,
  object: DataObject,
  body: Uint8Array<SharedArrayBuffer>,
): Promise<boolean> {
  const database = databaseOf(job, object.table.database);
  const { target, names, restore, signal } = underRestore(job, database);
  const { encoding } = database.manifest;
  try {
    await lanes.run({ kind: 'load', target, names, restore, object, encoding, body }, { signal });
    return true;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    if (job.context.request.tolerate !== true) throw withHint(error);
    await withRestoreSession(job, database, (session) =>
      noteLeftOut(session, {
        ...{ kind: 'TABLE DATA', name: tableName(object.table), because: 'error' },
        error: reasonIn(error, `load ${object.key} into ${tableName(object.table)}`),
        sql: copyFromStatement(object, encoding),
      }),
    );
    return false;
  }
}

function withHint(error: HoldfastError): HoldfastError {
  return permanent(error.code, error.message, `${error.remedy} ${TOLERATE_HINT}`, error.cause);
}
