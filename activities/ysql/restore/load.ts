import type { DataObject } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import type { RestoreContext } from '../../engine.ts';
import { whileBeating } from '../../heartbeat.ts';
import { textOf } from '../../zstd-frames.ts';
import { copyFromStatement } from '../copy-statements.ts';
import { tableName } from '../identifiers.ts';
import { inTransaction, type Session } from '../session.ts';
import { claim, withRestoreSession } from './bookkeeping.ts';
import { copyIn } from './copy-in.ts';
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
  return await whileBeating(context, (tell) =>
    withRestoreSession(job, database, async (session) => {
      await session.query('prepare to load', LOAD_SETTINGS);
      let rows = 0;
      let bytes = 0;
      let next = fetchObject(job, first);
      for (const [index, object] of objects.entries()) {
        const body = await next;
        const following = objects[index + 1];
        if (following !== undefined) next = fetchObject(job, following);
        await loadObject(job, database, session, object, body);
        rows += object.rows;
        bytes += object.bytes;
        tell({ task, rows, bytes });
      }
      return { rows, bytes };
    }),
  );
}

/**
 * On YugabyteDB COPY would commit every 20,000 rows; PostgreSQL doesn't know the setting, so it is set only where it is known. As
 * superuser, foreign keys and triggers of extensions' configuration tables, which come with the extension, are kept quiet.
 */
const LOAD_SETTINGS = `
  SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'yb_default_copy_from_rows_per_transaction'
  UNION ALL
  SELECT set_config('session_replication_role', 'replica', false) FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper`;

/** The stored bytes, size and SHA-256 verified: nothing damaged reaches the database. */
function fetchObject(job: RestoreJob, object: DataObject): Promise<Uint8Array> {
  const { store, folder, signal } = job.context;
  const { sizeBytes, sha256 } = object;
  const body = store.get(folder + object.key, { expect: { sizeBytes, sha256 }, signal });
  // Awaited when its turn comes; until then a rejection must not count as unhandled.
  body.catch(() => undefined);
  return body;
}

async function loadObject(
  job: RestoreJob,
  database: DatabaseJob,
  session: Session,
  object: DataObject,
  body: Uint8Array,
): Promise<void> {
  const doing = `load ${object.key} into ${tableName(object.table)}`;
  await inTransaction(session, async () => {
    if (!(await claim(session, { object: object.key, rows: object.rows }))) return;
    const statement = copyFromStatement(object, database.manifest.encoding);
    const rows = await copyIn(session, statement, textOf(body), doing, job.context.signal);
    if (rows !== object.rows) {
      throw permanent(
        'RESTORE_ROW_COUNT',
        `Failed to ${doing}: ${rows} rows came in, the manifest says ${object.rows}`,
        'The backup or the table is not what the manifest describes: verify the backup, then restore another one.',
      );
    }
  });
}
