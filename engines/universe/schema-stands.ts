import type { DatabaseSnapshot } from '../../model/backup.ts';
import { permanent, READ_POINT_LOST } from '../../model/errors.ts';
import type { VerbContext } from '../engine.ts';
import type { ConnectionTarget } from '../ysql/server/connection-url.ts';
import { readAsOf, refusalOf } from '../ysql/server/read-time.ts';
import { schemaFingerprint } from '../ysql/server/schema-fingerprint.ts';
import { onlyRow, type Session, withSession } from '../ysql/server/session.ts';
import type { Universe } from './universe.ts';
import { microsOf } from './yb-admin/times.ts';
import { catalogVersion } from './yb-admin/upkeep.ts';

/** A database of a snapshot whose schema is dumped. */
export interface SchemaOfSnapshot {
  readonly context: VerbContext;
  readonly universe: Pick<Universe, 'admin'>;
  readonly database: DatabaseSnapshot;
}

/**
 * Makes sure that a dump of the present is of the snapshot's schema. Equal catalog versions prove that. Different ones disprove nothing, since
 * ANALYZE raises the version too, and auto-analyze with it (issues 21764, 1721). Then the schemas themselves are compared: as of the snapshot,
 * before the dump and after it. Throws `READ_POINT_LOST` (permanent).
 */
export async function checkSchemaStands(
  exporting: SchemaOfSnapshot,
  target: ConnectionTarget,
  before: string,
): Promise<void> {
  const { context, universe, database } = exporting;
  const { catalogVersion: version, database: name } = database;
  if (version === undefined) return;
  const now = await catalogVersion(universe.admin, name);
  if (now === version) return;
  const micros = microsOf(database.snapshotTime);
  const atSnapshot = micros === undefined ? undefined : await fingerprintAt(exporting, target, micros);
  const after = await presentFingerprint(exporting, target);
  if (atSnapshot === before && before === after) {
    context.log('the catalog version rose without a change of the schema (ANALYZE does so)', {
      database: name,
      from: version,
      to: now,
    });
    return;
  }
  throw permanent(
    READ_POINT_LOST,
    `The schema of database "${name}" changed while its snapshot was taken (catalog version ${version}, then ${now})`,
    'Another snapshot is taken. Back up while no DDL runs if this repeats.',
  );
}

/** The fingerprint of a database's schema and files as they are now. */
export function presentFingerprint(
  { context, database }: SchemaOfSnapshot,
  target: ConnectionTarget,
): Promise<string> {
  return withSession(target, database.database, context.signal, fingerprint);
}

/** Undefined if the server can't read the past. Then the schema counts as changed. */
async function fingerprintAt(
  { context, database }: SchemaOfSnapshot,
  target: ConnectionTarget,
  micros: string,
): Promise<string | undefined> {
  return await withSession(target, database.database, context.signal, async (session) => {
    try {
      await readAsOf(session, micros);
    } catch (error) {
      if (refusalOf(error) !== undefined) return undefined;
      throw error;
    }
    return await fingerprint(session);
  });
}

/**
 * A fingerprint of the schema and of each relation's files. TRUNCATE or a rewrite gives a table another relfilenode, by which the dump shows
 * import_snapshot where the table's rows are.
 */
async function fingerprint(session: Session): Promise<string> {
  const rows = await session.query<{ files: string | null }>(
    `fingerprint the files of database "${session.database}"`,
    `SELECT md5(string_agg(oid || ':' || relfilenode, ',' ORDER BY oid)) AS files FROM pg_catalog.pg_class
     WHERE oid >= 16384 AND relpersistence <> 't'`,
  );
  return `${await schemaFingerprint(session)} ${onlyRow(rows, 'the files').files ?? ''}`;
}
