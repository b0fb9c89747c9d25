import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSnapshot, ObjectEntry, ReadPoint } from '../../model/backup.ts';
import { permanent, READ_POINT_LOST } from '../../model/errors.ts';
import type { ManifestDatabase, ManifestSnapshot, SnapshotTable } from '../../model/manifest.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import type { BackupContext } from '../engine.ts';
import { readRelations } from '../ysql/catalog.ts';
import type { ConnectionTarget } from '../ysql/connection-url.ts';
import { withQuotedNames } from '../ysql/dump-script.ts';
import { requireDumpOf } from '../ysql/dumped-tables.ts';
import { databaseProperties } from '../ysql/export.ts';
import { quoteTable } from '../ysql/identifiers.ts';
import { runProgram } from '../ysql/programs/run.ts';
import { utf8 } from '../ysql/schema-dump.ts';
import { putScript } from '../ysql/scripts.ts';
import { sequencesScript } from '../ysql/seal.ts';
import type { Server } from '../ysql/server.ts';
import { connect, onlyRow, type Session, withSession } from '../ysql/session.ts';
import { metadataDump } from './metadata-dump.ts';
import type { Universe } from './universe.ts';
import { exportSnapshot, type SnapshotObject } from './yb-admin/snapshots.ts';
import { microsOf } from './yb-admin/times.ts';
import { catalogVersion } from './yb-admin/upkeep.ts';

export type SnapshotPoint = Extract<ReadPoint, { readonly kind: 'universe-snapshot' }>;

/** A database or keyspace of a snapshot that is being exported. */
export interface Exporting {
  readonly context: BackupContext;
  readonly universe: Universe;
  readonly readPoint: SnapshotPoint;
  readonly index: number;
  readonly database: DatabaseSnapshot;
  readonly objects: readonly SnapshotObject[];
}

export interface Exported {
  readonly database: ManifestDatabase;
  readonly snapshot: ManifestSnapshot;
}

/** Schema, sequences and metadata of a YSQL database. Throws `READ_POINT_LOST` (permanent) where its schema changed since the snapshot. */
export async function exportDatabase(
  exporting: Exporting,
  target: ConnectionTarget,
  server: Server,
): Promise<Exported> {
  const { context, universe, readPoint, index, database } = exporting;
  const { database: name } = database;
  const driver = await metadataDump(server);
  // Of the snapshot's instant where the program can; of the present, which must then be as it was at the snapshot, where it can't.
  const instant = driver.takesReadTime ? microsOf(database.snapshotTime) : undefined;
  const dump = utf8(
    await runProgram(driver.program, target, name, driver.options(instant), context.signal),
    name,
  );
  const { properties, relations, indexes } = await withInstant(
    target,
    name,
    instant,
    context.signal,
    async (session) => ({
      properties: await databaseProperties(session),
      relations: await readRelations(session),
      indexes: await readIndexes(session),
    }),
  );
  requireDumpOf(name, dump, relations, driver.program.path);
  const metadata = await exportMetadata(exporting);
  const now = await catalogVersion(universe.admin, name);
  if (instant === undefined && database.catalogVersion !== undefined && now !== database.catalogVersion) {
    throw permanent(
      READ_POINT_LOST,
      `The schema of database "${name}" changed while its snapshot was taken (catalog version ${database.catalogVersion}, then ${now})`,
      'Another snapshot is taken. Back up while no DDL runs if this repeats.',
    );
  }
  const sequences = relations.filter(({ kind }) => kind === 'S');
  const values = await sequencesScript(context, target, name, sequences);
  const schemaObjects = [
    await putScript(context, readPoint, `${index}/schema`, withQuotedNames(dump)),
    await putScript(context, readPoint, `${index}/sequences`, values),
    ...(metadata === undefined ? [] : [metadata]),
  ];
  const byOid = new Map(
    [...relations, ...indexes].map(({ oid, schema, table }) => [Number(oid), { schema, name: table }]),
  );
  const tables = tablesOf(
    exporting.objects,
    ({ id, name: fallback }) => byOid.get(oidOf(id)) ?? { schema: '', name: fallback },
  );
  const rows = universe.source.countRows
    ? await countRows(exporting, target, tables)
    : new Map<string, number>();
  return {
    database: { name, ...properties, schemaObjects, tables: manifestTables(tables, rows) },
    snapshot: snapshotOf(exporting, tables, metadata),
  };
}

/** A keyspace's schema is in the snapshot's metadata. */
export async function exportKeyspace(exporting: Exporting): Promise<Exported> {
  const metadata = await exportMetadata(exporting);
  const tables = tablesOf(exporting.objects, ({ name }) => ({ schema: '', name }));
  return {
    database: {
      name: exporting.database.database,
      owner: '',
      encoding: 'UTF8',
      collate: '',
      ctype: '',
      schemaObjects: metadata === undefined ? [] : [metadata],
      tables: manifestTables(tables, new Map()),
    },
    snapshot: snapshotOf(exporting, tables, metadata),
  };
}

function snapshotOf(
  { database }: Exporting,
  tables: readonly SnapshotTable[],
  metadata: ObjectEntry | undefined,
): ManifestSnapshot {
  const { snapshot, snapshotTime, catalogVersion: version } = database;
  return {
    database: database.database,
    api: database.api,
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(metadata === undefined ? {} : { metadata: metadata.key }),
    ...(snapshotTime === undefined ? {} : { takenAt: snapshotTime }),
    ...(version === undefined ? {} : { catalogVersion: version }),
    tables,
  };
}

/** A session that reads as of the instant (microseconds since 1970), or the present where there is none. */
async function withInstant<T>(
  target: ConnectionTarget,
  database: string,
  instant: string | undefined,
  signal: AbortSignal,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const setting = instant === undefined ? undefined : `SET yb_read_time = ${BigInt(instant)}`;
  const session = await connect(target, database, signal, setting);
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

/** `export_snapshot` writes on this machine; the file goes into the repository. Undefined for an empty database. */
async function exportMetadata({
  context,
  universe,
  readPoint,
  index,
  database,
}: Exporting): Promise<ObjectEntry | undefined> {
  if (database.snapshot === undefined) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-snapshot-'));
  try {
    const file = join(folder, 'SnapshotInfoPB');
    await exportSnapshot(universe.admin, database.snapshot, file);
    const body = await readFile(file);
    const sha256 = sha256Hex(body);
    const key = `schema/e${readPoint.epoch}/${index}/snapshot-${sha256.slice(0, 12)}.pb`;
    await context.store.put(context.folder + key, body, { sha256, ifAbsent: true, signal: context.signal });
    return { key, sizeBytes: body.length, sha256 };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function tablesOf(
  objects: readonly SnapshotObject[],
  nameOf: (object: SnapshotObject) => { readonly schema: string; readonly name: string },
): readonly SnapshotTable[] {
  return objects
    .filter(({ type }) => type === 'TABLE')
    .map((object) => ({ id: object.id, ...nameOf(object), index: object.indexedTableId !== undefined }));
}

/** The last 8 hex digits of a YSQL table's id are its oid. */
function oidOf(tableId: string): number {
  return Number.parseInt(tableId.slice(24, 32), 16);
}

function manifestTables(
  tables: readonly SnapshotTable[],
  rows: ReadonlyMap<string, number>,
): ManifestDatabase['tables'] {
  return tables
    .filter(({ index }) => !index)
    .map(({ id, schema, name }) => ({ schema, table: name, rows: rows.get(id) ?? 0, bytes: 0, objects: 0 }));
}

async function readIndexes(
  session: Session,
): Promise<readonly { readonly oid: string; readonly schema: string; readonly table: string }[]> {
  return await session.query<{ oid: string; schema: string; table: string }>(
    `list the indexes of database "${session.database}"`,
    `SELECT c.oid::text AS oid, n.nspname AS schema, c.relname AS table FROM pg_catalog.pg_class c
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('i', 'I') AND c.oid >= 16384 AND n.nspname !~ '^pg_'`,
  );
}

/** By table id, as of the snapshot. */
async function countRows(
  { context, database }: Exporting,
  target: ConnectionTarget,
  tables: readonly SnapshotTable[],
): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  const micros = microsOf(database.snapshotTime);
  if (micros === undefined) return counts;
  await withSession(target, database.database, context.signal, async (session) => {
    await session.query('read as of the snapshot', `SET yb_read_time = ${BigInt(micros)}`);
    for (const { id, schema, name, index } of tables) {
      if (index || schema === '') continue;
      const rows = await session.query<{ rows: string }>(
        `count the rows of ${schema}.${name}`,
        `SELECT count(*)::text AS rows FROM ${quoteTable({ schema, table: name })}`,
      );
      counts.set(id, Number(onlyRow(rows, 'the number of rows').rows));
      context.heartbeat({ counted: name });
    }
  });
  return counts;
}
