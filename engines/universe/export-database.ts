import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSnapshot, ObjectEntry, ReadPoint } from '../../model/backup.ts';
import { defined } from '../../model/defined.ts';
import { HoldfastError } from '../../model/errors.ts';
import type { ManifestDatabase, ManifestSnapshot, SnapshotTable } from '../../model/manifest.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import type { BackupContext } from '../engine.ts';
import { readRelations } from '../ysql/server/catalog.ts';
import type { ConnectionTarget } from '../ysql/server/connection-url.ts';
import { databaseProperties } from '../ysql/server/database-properties.ts';
import { withQuotedNames } from '../ysql/server/dump-script.ts';
import { requireDumpOf } from '../ysql/server/dumped-tables.ts';
import { utf8 } from '../ysql/server/globals-dump.ts';
import { runProgram, SETTING_DENIED } from '../ysql/server/programs/run.ts';
import { readAsOf } from '../ysql/server/read-time.ts';
import { putScript } from '../ysql/server/scripts.ts';
import { sequencesScript } from '../ysql/server/sequence-values.ts';
import type { Server } from '../ysql/server/server.ts';
import { withSession } from '../ysql/server/session.ts';
import { accountForTables, importLeavesOut, readCatalogRelations, strangeTables } from './accounting.ts';
import { checkNoneDropped } from './dropped-tables.ts';
import { metadataDump } from './metadata-dump.ts';
import { checkSchemaStands, presentFingerprint } from './schema-stands.ts';
import { type SnapshotContents, snapshotContents } from './snapshot-contents.ts';
import { countRows, lookForRows, NOT_LOOKED_AT, type TableRows } from './table-rows.ts';
import type { Universe } from './universe.ts';
import { exportSnapshot, type SnapshotObject } from './yb-admin/snapshots.ts';
import { microsOf } from './yb-admin/times.ts';

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

/** What the manifest and the search for tablets need of an exported database or keyspace. */
export interface Exported {
  readonly database: ManifestDatabase;
  readonly snapshot: ManifestSnapshot;
  /** What the snapshot holds; absent where there is none. */
  readonly contents?: SnapshotContents;
  /** Ids of tables whose rows are in the tablet of a parent. */
  readonly colocated: ReadonlySet<string>;
}

/**
 * Exports schema, sequences and metadata of a YSQL database. Throws `READ_POINT_LOST` (permanent) if its schema changed since the snapshot, or
 * while it was taken.
 */
export async function exportDatabase(
  exporting: Exporting,
  target: ConnectionTarget,
  server: Server,
): Promise<Exported> {
  const { context, universe, readPoint, index, database } = exporting;
  const { database: name } = database;
  const before = await presentFingerprint(exporting, target);
  const dump = await dumpDatabase(exporting, target, server);
  // The snapshot's files hold what existed at its instant, whatever was created or dropped since.
  const present = await readCatalogue(exporting, target, undefined);
  const { properties, relations, catalog } = dump.asOfSnapshot
    ? await readCatalogue(exporting, target, microsOf(database.snapshotTime))
    : present;
  requireDumpOf(name, dump.script, relations, dump.program);
  const metadata = await exportMetadata(exporting);
  if (!dump.asOfSnapshot) await checkSchemaStands(exporting, target, before);
  const stillThere = new Set(present.relations.map(({ oid }) => oid));
  const sequences = relations.filter(({ kind, oid }) => kind === 'S' && stillThere.has(oid));
  const values = await sequencesScript(context, target, name, sequences);
  const schemaObjects = [
    await putScript(context, readPoint, `${index}/schema`, withQuotedNames(dump.script)),
    await putScript(context, readPoint, `${index}/sequences`, values.script),
    ...(metadata === undefined ? [] : [metadata.entry]),
  ];
  // A schedule's snapshot can't be replaced by another one, so a table that its import leaves out is reported as a loss.
  if (database.history === undefined || !importLeavesOut(metadata?.contents))
    await checkNoneDropped(exporting, target, strangeTables(exporting.objects, catalog), present.catalog);
  const { tables, losses } = accountForTables(name, exporting.objects, catalog, metadata?.contents);
  const micros = microsOf(exporting.database.snapshotTime);
  const look = universe.source.countRows ? countRows : lookForRows;
  const rows =
    micros === undefined
      ? new Map<string, TableRows>()
      : await look({ context, target, database: name, micros }, tables);
  return {
    database: {
      name,
      ...properties,
      schemaObjects,
      tables: manifestTables(tables, rows),
      ...(losses.length === 0 ? {} : { losses }),
    },
    ...snapshotOf(exporting, tables, metadata),
  };
}

/** Exports a keyspace, whose schema is in the snapshot's metadata. */
export async function exportKeyspace(exporting: Exporting): Promise<Exported> {
  const metadata = await exportMetadata(exporting);
  const tables = exporting.objects
    .filter(({ type }) => type === 'TABLE')
    .map(({ id, name, indexedTableId }) => ({ id, schema: '', name, index: indexedTableId !== undefined }));
  return {
    database: {
      name: exporting.database.database,
      owner: '',
      encoding: 'UTF8',
      collate: '',
      ctype: '',
      schemaObjects: metadata === undefined ? [] : [metadata.entry],
      tables: manifestTables(tables, new Map()),
    },
    ...snapshotOf(exporting, tables, metadata),
  };
}

function snapshotOf(
  { database, objects }: Exporting,
  tables: readonly SnapshotTable[],
  metadata: Metadata | undefined,
): Omit<Exported, 'database'> {
  const { snapshot, snapshotTime, catalogVersion: version } = database;
  const described: ManifestSnapshot = {
    database: database.database,
    api: database.api,
    ...defined({ snapshot }),
    ...defined({ metadata: metadata?.entry.key }),
    ...defined({ takenAt: snapshotTime, catalogVersion: version }),
    tables,
  };
  const colocated = new Set(objects.flatMap(({ id, colocated: is }) => (is ? [id] : [])));
  return {
    snapshot: described,
    colocated,
    ...defined({ contents: metadata?.contents }),
  };
}

interface Metadata {
  readonly entry: ObjectEntry;
  readonly contents: SnapshotContents;
}

/** The catalogue of the present, or as of the instant (microseconds since 1970). */
async function readCatalogue(
  { context, database }: Exporting,
  target: ConnectionTarget,
  micros: string | undefined,
) {
  return await withSession(target, database.database, context.signal, async (session) => {
    if (micros !== undefined) await readAsOf(session, micros);
    return {
      properties: await databaseProperties(session),
      relations: await readRelations(session),
      catalog: await readCatalogRelations(session),
    };
  });
}

interface Dump {
  readonly script: string;
  /** Path of the program that wrote it. */
  readonly program: string;
  /** The program read the catalogue at the snapshot's time, so nothing that changed since is in it. */
  readonly asOfSnapshot: boolean;
}

/** The whole schema as one script: as of the snapshot, if the program can and the role may read the past. */
async function dumpDatabase(
  { context, database }: Exporting,
  target: ConnectionTarget,
  server: Server,
): Promise<Dump> {
  const { program, takesReadTime, options } = await metadataDump(server);
  const dump = async (instant: string | undefined): Promise<Dump> => {
    const script = await runProgram(program, target, database.database, options(instant), context.signal);
    return {
      script: utf8(script, database.database),
      program: program.path,
      asOfSnapshot: instant !== undefined,
    };
  };
  const instant = takesReadTime ? microsOf(database.snapshotTime) : undefined;
  try {
    return await dump(instant);
  } catch (error) {
    if (instant === undefined || !(error instanceof HoldfastError) || error.code !== SETTING_DENIED)
      throw error;
    context.log('the schema is dumped as it is now and compared: the role may not read the past', {
      database: database.database,
    });
    return await dump(undefined);
  }
}

/** Has `export_snapshot` write a file on this machine, and puts it into the repository. Undefined for an empty database. */
async function exportMetadata({
  context,
  universe,
  readPoint,
  index,
  database,
}: Exporting): Promise<Metadata | undefined> {
  if (database.snapshot === undefined) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-snapshot-'));
  try {
    const file = join(folder, 'SnapshotInfoPB');
    await exportSnapshot(universe.admin, database.snapshot, file);
    const body = await readFile(file);
    const contents = snapshotContents(body, database.database);
    const sha256 = sha256Hex(body);
    const key = `schema/e${readPoint.epoch}/${index}/snapshot-${sha256.slice(0, 12)}.pb`;
    await context.store.put(context.folder + key, body, { sha256, ifAbsent: true, signal: context.signal });
    return { entry: { key, sizeBytes: body.length, sha256 }, contents };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function manifestTables(
  tables: readonly SnapshotTable[],
  rows: ReadonlyMap<string, TableRows>,
): ManifestDatabase['tables'] {
  return tables
    .filter(({ index, skipped }) => !index && skipped === undefined)
    .map(({ id, schema, name }) => ({
      schema,
      table: name,
      ...(rows.get(id) ?? NOT_LOOKED_AT),
      bytes: 0,
      objects: 0,
    }));
}
