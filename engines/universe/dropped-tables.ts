import { HoldfastError, permanent, READ_POINT_LOST } from '../../model/errors.ts';
import type { ConnectionTarget } from '../ysql/server/connection-url.ts';
import { readAsOf } from '../ysql/server/read-time.ts';
import { withSession } from '../ysql/server/session.ts';
import { type CatalogRelations, hasFilesOf, readCatalogRelations } from './accounting.ts';
import type { SchemaOfSnapshot } from './schema-stands.ts';
import type { SnapshotObject } from './yb-admin/snapshots.ts';
import { microsOf } from './yb-admin/times.ts';
import { catalogVersion } from './yb-admin/upkeep.ts';

/** How far before the snapshot the catalogue is read, in microseconds: more than any clock skew, less than any history retention. */
const BEFORE_MICROS = 10_000_000n;

/**
 * Tells tables that were dropped, created or rewritten while the snapshot was taken from those that YSQL's catalogue has lost. The masters first
 * list the tables of a snapshot. Then they set its instant ahead by the greatest clock skew, half a second (issue 27575; facts: yugabytedb.md,
 * "Snapshot semantics"). So a table that is dropped within that time is in the snapshot, but not in the catalogue as of the snapshot. One that is
 * truncated then is in both, with different files.
 *
 * @param strange tables of the snapshot that the catalogue as of the snapshot lacks, or has with other files (`strangeTables`)
 * @throws HoldfastError `READ_POINT_LOST` (permanent), naming the table: another snapshot is taken
 */
export async function checkNoneDropped(
  exporting: SchemaOfSnapshot,
  target: ConnectionTarget,
  strange: readonly SnapshotObject[],
  present: CatalogRelations,
): Promise<void> {
  const [first] = strange;
  if (first === undefined) return;
  const { database, universe } = exporting;
  const created = strange.find(({ id }) => hasFilesOf(present, id));
  if (created !== undefined) throw changed(database.database, created, 'and it is there now');
  // A schedule's snapshot is exported long after it was taken, so what changed since then says nothing about that moment.
  const version = database.history === undefined ? database.catalogVersion : undefined;
  const now = version === undefined ? undefined : await catalogVersion(universe.admin, database.database);
  if (now !== version) {
    throw changed(
      database.database,
      first,
      `and the catalog version rose meanwhile (from ${version} to ${now})`,
    );
  }
  const earlier = await catalogBefore(exporting, target);
  const dropped = strange.find(({ id }) => earlier !== undefined && hasFilesOf(earlier, id));
  if (dropped !== undefined) throw changed(database.database, dropped, 'and it was there shortly before');
}

/** The catalogue as it was shortly before the snapshot; undefined where it can't be read. */
async function catalogBefore(
  { context, database }: SchemaOfSnapshot,
  target: ConnectionTarget,
): Promise<CatalogRelations | undefined> {
  const micros = microsOf(database.snapshotTime);
  if (micros === undefined) return undefined;
  try {
    return await withSession(target, database.database, context.signal, async (session) => {
      await readAsOf(session, String(BigInt(micros) - BEFORE_MICROS));
      return await readCatalogRelations(session);
    });
  } catch (error) {
    // The role may not read the past, or there is none: the database is new, or its history was collected.
    if (!(error instanceof HoldfastError) || error.transient) throw error;
    context.log('the catalogue before the snapshot can’t be read, so tables dropped then are not known', {
      database: database.database,
      reason: error.message,
    });
    return undefined;
  }
}

function changed(database: string, { id, name }: SnapshotObject, how: string): HoldfastError {
  return permanent(
    READ_POINT_LOST,
    `The schema of database "${database}" changed while its snapshot was taken: YSQL's catalogue as of the snapshot does not have the table ${name} (${id}) that it holds, or has it with other files, ${how}`,
    'Another snapshot is taken. Back up while no DDL and no ANALYZE runs if this repeats.',
  );
}
