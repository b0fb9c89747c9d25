import { permanent } from '../../../model/errors.ts';
import { findLargeObjects, holdsLargeObjects, requireUsualPages } from '../large-objects.ts';
import { withMaintenanceSession } from '../server/maintenance.ts';
import { inTransaction, type Session, withSession } from '../server/session.ts';
import { adapted } from './adapted.ts';
import type { Adaptation } from './apply.ts';
import { unseenByEventTriggers } from './event-triggers.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';

/** The server locks each large object that a transaction changes, and all sessions share its lock table. */
const OBJECTS_PER_TRANSACTION = 200;

/** True when the restore includes the database's large objects. */
export function restoresLargeObjects(
  { withData }: RestoreJob,
  { largeObjects, selection, manifest }: DatabaseJob,
): boolean {
  if (!withData || largeObjects.length === 0) return false;
  const pages = manifest.tables.find(holdsLargeObjects);
  return pages === undefined ? selection.all : selection.includes(pages);
}

/**
 * Checks before anything is written that the role can read pages back for the comparison, and that pages have the usual size.
 * Throws `RESTORE_LARGE_OBJECTS` or `YSQL_CANNOT_CARRY` (permanent).
 */
export async function checkLargeObjects(job: RestoreJob, database: DatabaseJob): Promise<void> {
  if (!restoresLargeObjects(job, database)) return;
  const { names } = database;
  await withMaintenanceSession(job, async (session) => {
    const { readable, blockBytes } = await findLargeObjects(session);
    requireUsualPages(blockBytes, names.to);
    if (readable) return;
    throw permanent(
      'RESTORE_LARGE_OBJECTS',
      `The backup of "${names.from}" holds large objects, and the role of the restore may not read pg_catalog.pg_largeobject, so they could not be compared`,
      'Grant it pg_read_all_data, or leave large objects out: name the tables to restore with --tables.',
    );
  });
}

/** Lists at most `limit` existing large objects, which are in the way of the backup's own. */
export async function presentLargeObjects(
  job: RestoreJob,
  name: string,
  limit: number,
): Promise<readonly string[]> {
  return await withSession(job.target, name, job.context.signal, async (session) => {
    const rows = await session.query<{ oid: string }>(
      `look for large objects in database "${name}"`,
      'SELECT oid::text AS oid FROM pg_catalog.pg_largeobject_metadata ORDER BY oid LIMIT $1',
      [limit],
    );
    return rows.map(({ oid }) => `large object ${oid}`);
  });
}

/** Creates missing large objects without content: their pages are loaded like rows. May be run again. */
export async function createLargeObjects(
  job: RestoreJob,
  database: DatabaseJob,
  session: Session,
): Promise<void> {
  if (!restoresLargeObjects(job, database)) return;
  const creating = database.largeObjects.flatMap(({ type, statements }) =>
    type === 'BLOB' ? statements.slice(0, 1).map(({ text }) => text) : [],
  );
  await inBatches(session, 'create large objects', creating);
}

/** Sets owner, privileges, comment and label of the large objects. This comes last, since this role may lose the right to write to them. */
export async function describeLargeObjects(
  job: RestoreJob,
  database: DatabaseJob,
  session: Session,
  adaptation: Adaptation,
): Promise<void> {
  if (!restoresLargeObjects(job, database)) return;
  const describing = database.largeObjects.flatMap((entry) =>
    adapted(entry, adaptation)
      .slice(entry.type === 'BLOB' ? 1 : 0)
      .map(({ text }) => text)
      .join('\n'),
  );
  await inBatches(session, 'set owners and privileges of large objects', describing, (work) =>
    unseenByEventTriggers(session, work),
  );
}

async function inBatches(
  session: Session,
  doing: string,
  statements: readonly string[],
  around: (work: () => Promise<unknown>) => Promise<unknown> = (work) => work(),
): Promise<void> {
  for (let at = 0; at < statements.length; at += OBJECTS_PER_TRANSACTION) {
    const text = statements.slice(at, at + OBJECTS_PER_TRANSACTION).join('\n');
    await inTransaction(session, () => around(() => session.query(doing, text)));
  }
}
