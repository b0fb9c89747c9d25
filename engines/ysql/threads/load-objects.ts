import { type DataObject, dataObjectName } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import { textOf } from '../../../repository/backups/zstd-frames.ts';
import { crashPoint } from '../../../repository/crash-points.ts';
import type { ThreadContext } from '../../threads/serve.ts';
import { copyFromStatement } from '../copy-statements.ts';
import { holdsLargeObjects, LARGE_OBJECT_PAGE_BYTES } from '../large-objects.ts';
import { claimObjects, withSessionUnderRestore } from '../restore/bookkeeping.ts';
import { copyIn } from '../restore/copy-in.ts';
import { loadIntoTypes } from '../restore/other-types.ts';
import { tableName } from '../server/identifiers.ts';
import { inTransaction, type Session } from '../server/session.ts';
import type { LoadedObject, LoadJob } from './jobs.ts';

/**
 * On YugabyteDB COPY would commit every 20,000 rows, so this turns that off; PostgreSQL lacks the setting, so it is set only
 * where it exists. For a superuser it disables triggers, foreign keys among them, of extensions' configuration tables, which come
 * with the extension.
 */
const LOAD_SETTINGS = `
  SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'yb_default_copy_from_rows_per_transaction'
  UNION ALL
  SELECT set_config('session_replication_role', 'replica', false) FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper`;

/** Sessions that are prepared to load; the settings last as long as the session. */
const prepared = new WeakSet<Session>();

async function prepareToLoad(session: Session): Promise<void> {
  if (prepared.has(session)) return;
  await session.query('prepare to load', LOAD_SETTINGS);
  prepared.add(session);
}

/**
 * Loads objects in one transaction that also records them as loaded. Skips objects that are loaded already. Throws
 * `RESTORE_ROW_COUNT` (permanent) when the number of rows differs from the manifest.
 */
export async function loadObjects(job: LoadJob, thread: ThreadContext): Promise<void> {
  const { objects, target, names, restore } = job;
  const { signal } = thread;
  await withSessionUnderRestore({ target, names, restore, signal }, async (session) => {
    await prepareToLoad(session);
    await inTransaction(session, async () => {
      const claimed = await claimObjects(
        session,
        objects.map(({ object }) => object),
      );
      for (const loaded of objects) {
        if (!claimed.has(dataObjectName(loaded.object))) continue;
        await loadObject(session, loaded, job, signal);
        crashPoint('load-copied');
      }
    });
    crashPoint('load-committed');
  });
}

async function loadObject(
  session: Session,
  { object, body }: LoadedObject,
  { encoding, intoExisting }: Pick<LoadJob, 'encoding' | 'intoExisting'>,
  signal: AbortSignal,
): Promise<void> {
  const doing = `load ${dataObjectName(object)} into ${tableName(object.table)}`;
  const copy = (statement: string) => copyIn(session, statement, textOf(body), doing, signal);
  const rows = holdsLargeObjects(object.table)
    ? await loadPages(session, object, copy, doing)
    : intoExisting && object.format === 'copy-binary'
      ? await loadIntoTypes(session, object, copy)
      : await copy(copyFromStatement(object, encoding));
  if (rows === object.rows) return;
  throw permanent(
    'RESTORE_ROW_COUNT',
    `Failed to ${doing}: ${rows} rows came in, the manifest says ${object.rows}`,
    'The backup or the table is not what the manifest describes: verify the backup, then restore another one.',
  );
}

/** Loads pages of large objects by `lo_put`, which an object's owner may call; only superusers may write the table of pages itself. */
async function loadPages(
  session: Session,
  { format }: Pick<DataObject, 'format'>,
  copy: (statement: string) => Promise<number>,
  doing: string,
): Promise<number> {
  await session.query(
    'make a place for pages of large objects',
    'CREATE TEMPORARY TABLE IF NOT EXISTS holdfast_pages (loid oid, pageno int, data bytea) ON COMMIT DELETE ROWS',
  );
  const options = format === 'copy-binary' ? ' (FORMAT binary)' : '';
  const rows = await copy(`COPY holdfast_pages (loid, pageno, data) FROM STDIN${options}`);
  await session.query(
    doing,
    `SELECT count(pg_catalog.lo_put(loid, pageno::bigint * ${LARGE_OBJECT_PAGE_BYTES}, data)) FROM holdfast_pages`,
  );
  // The same transaction may load more pages.
  await session.query(doing, 'DELETE FROM holdfast_pages');
  return rows;
}
