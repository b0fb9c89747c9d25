import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSnapshot, ObjectEntry, ReadPoint } from '../../model/backup.ts';
import { permanent, READ_POINT_LOST } from '../../model/errors.ts';
import type { ManifestDatabase, ManifestSnapshot, SnapshotTable } from '../../model/manifest.ts';
import type { UniverseSource } from '../../model/pipeline.ts';
import { listBackups } from '../../repository/list-backups.ts';
import { readTabletLists } from '../../repository/objects/tablet-lists.ts';
import {
  findTabletWorkList,
  type TabletWorkList,
  writeTabletWorkList,
} from '../../repository/objects/tablet-work.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import { isDamage } from '../../repository/store-errors.ts';
import type { BackupContext } from '../engine.ts';
import { readRelations } from '../ysql/catalog.ts';
import type { ConnectionTarget } from '../ysql/connection-url.ts';
import { findExecutable, hasOption, runProgram } from '../ysql/executables.ts';
import { databaseProperties } from '../ysql/export.ts';
import { quoteTable } from '../ysql/identifiers.ts';
import { dumpGlobals, utf8 } from '../ysql/schema-dump.ts';
import { putScript } from '../ysql/scripts.ts';
import { sequencesScript } from '../ysql/seal.ts';
import type { Server } from '../ysql/server.ts';
import { onlyRow, type Session, withSession } from '../ysql/session.ts';
import { readTablets } from './entities.ts';
import { type EarlierCopy, placeTablets, wholeReplicas } from './placement.ts';
import { openUniverse, serverOf, type Universe, ysqlTarget } from './universe.ts';
import { exportSnapshot, listSnapshots, type SnapshotObject } from './yb-admin/snapshots.ts';
import { field, textField } from './yb-admin/text.ts';
import { microsOf } from './yb-admin/times.ts';
import { catalogVersion, universeConfig } from './yb-admin/upkeep.ts';
import { programVersion } from './yb-admin/version.ts';

type SnapshotPoint = Extract<ReadPoint, { readonly kind: 'universe-snapshot' }>;

/**
 * Writes what belongs to the snapshots besides the tablets' files (schemas, sequences, roles, the snapshots' metadata), finds
 * the tablets and where they are, and writes the list of what is to be saved.
 *
 * Throws `READ_POINT_LOST` (permanent) where the schema changed between the snapshot and its dump: the caller takes another.
 */
export async function exportUniverse(
  context: BackupContext,
  source: UniverseSource,
  readPoint: SnapshotPoint,
): Promise<TabletWorkList> {
  const { store, ref, signal } = context;
  const known = await findTabletWorkList(store, ref, readPoint.epoch, { signal });
  if (known !== undefined) return known;
  const universe = await openUniverse(context, source);
  const hasYsql = readPoint.databases.some(({ api }) => api === 'ysql');
  const target = hasYsql ? await ysqlTarget(context, universe) : undefined;
  const server = target === undefined ? undefined : await serverOf(target, signal);
  const objects = new Map(
    (await listSnapshots(universe.admin, { details: true })).map((snapshot) => [
      snapshot.id,
      snapshot.objects,
    ]),
  );
  const databases: ManifestDatabase[] = [];
  const snapshots: ManifestSnapshot[] = [];
  for (const [index, database] of readPoint.databases.entries()) {
    context.heartbeat({ database: database.database });
    const ofSnapshot = database.snapshot === undefined ? [] : (objects.get(database.snapshot) ?? []);
    const exporting = { context, universe, readPoint, index, database, objects: ofSnapshot };
    const exported =
      target === undefined || server === undefined || database.api === 'ycql'
        ? await exportKeyspace(exporting)
        : await exportDatabase(exporting, target, server);
    databases.push(exported.database);
    snapshots.push(exported.snapshot);
  }
  const commonObjects: ObjectEntry[] = [];
  if (target !== undefined && server !== undefined && source.globals !== 'none') {
    const script = await dumpGlobals({ verb: context, target, server }, source.globals);
    commonObjects.push(await putScript(context, readPoint, 'globals', script));
  }
  const description = {
    server: {
      product: 'yugabytedb' as const,
      version: server?.version ?? (await programVersion(universe.admin)),
    },
    databases,
    commonObjects,
    universe: { snapshots, ...(await identityOf(universe)) },
  };
  const targets = await findTargets(context, universe, snapshots);
  return await writeTabletWorkList(store, ref, readPoint.epoch, description, targets, { signal });
}

interface Exporting {
  readonly context: BackupContext;
  readonly universe: Universe;
  readonly readPoint: SnapshotPoint;
  readonly index: number;
  readonly database: DatabaseSnapshot;
  readonly objects: readonly SnapshotObject[];
}

interface Exported {
  readonly database: ManifestDatabase;
  readonly snapshot: ManifestSnapshot;
}

async function exportDatabase(
  exporting: Exporting,
  target: ConnectionTarget,
  server: Server,
): Promise<Exported> {
  const { context, universe, readPoint, index, database } = exporting;
  const { database: name } = database;
  const dump = await dumpDatabase(exporting, target, server);
  const { properties, relations, indexes } = await withSession(
    target,
    name,
    context.signal,
    async (session) => ({
      properties: await databaseProperties(session),
      relations: await readRelations(session),
      indexes: await readIndexes(session),
    }),
  );
  const metadata = await exportMetadata(exporting);
  const now = await catalogVersion(universe.admin, name);
  if (database.catalogVersion !== undefined && now !== database.catalogVersion) {
    throw permanent(
      READ_POINT_LOST,
      `The schema of database "${name}" changed while its snapshot was taken (catalog version ${database.catalogVersion}, then ${now})`,
      'Another snapshot is taken. Back up while no DDL runs if this repeats.',
    );
  }
  const sequences = relations.filter(({ kind }) => kind === 'S');
  const values = await sequencesScript(context, target, name, sequences);
  const schemaObjects = [
    await putScript(context, readPoint, `${index}/schema`, dump),
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

async function exportKeyspace(exporting: Exporting): Promise<Exported> {
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

/** The whole schema as one script, as of the snapshot where the program can. */
async function dumpDatabase(
  { context, database }: Exporting,
  target: ConnectionTarget,
  server: Server,
): Promise<string> {
  const executable = await findExecutable('dump', server);
  const args = ['--schema-only', '--create', '--serializable-deferrable'];
  // Oids and tablet boundaries: without them import_snapshot doesn't find the tables again.
  if (await hasOption(executable, '--include-yb-metadata')) args.push('--include-yb-metadata');
  const micros = microsOf(database.snapshotTime);
  if (micros !== undefined && (await hasOption(executable, '--read-time')))
    args.push(`--read-time=${micros}`);
  const script = await runProgram(executable, target, database.database, args, context.signal);
  return utf8(script, database.database);
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

/** Which universe it is, and whether its files are encrypted, as far as it tells. */
async function identityOf({ admin }: Universe): Promise<{ clusterUuid?: string; encryption?: string }> {
  const config = await universeConfig(admin);
  const clusterUuid = textField(config, 'clusterUuid', 'cluster_uuid');
  const encryption = field(config, 'encryptionInfo') ?? field(config, 'encryption_info');
  const enabled = field(encryption, 'encryptionEnabled') ?? field(encryption, 'encryption_enabled');
  const key = textField(encryption, 'latestVersionId', 'keyId', 'latest_version_id', 'key_id');
  return {
    ...(clusterUuid === undefined ? {} : { clusterUuid }),
    ...(enabled === true ? { encryption: key ?? 'enabled' } : {}),
  };
}

async function findTargets(
  context: BackupContext,
  universe: Universe,
  snapshots: readonly ManifestSnapshot[],
) {
  const snapshotOfTable = new Map<string, string>();
  for (const { snapshot, tables } of snapshots) {
    for (const { id } of tables) if (snapshot !== undefined) snapshotOfTable.set(id, snapshot);
  }
  if (snapshotOfTable.size === 0) return [];
  const tablets = await readTablets(
    universe.admin,
    universe.masterWebAddresses,
    new Set(snapshotOfTable.keys()),
    context.signal,
  );
  return placeTablets(tablets, (table) => snapshotOfTable.get(table) ?? '', await earlierCopies(context));
}

/** The tablets of the plan's newest backup: whose files the repository has. A damaged one tells nothing. */
async function earlierCopies(context: BackupContext): Promise<ReadonlyMap<string, EarlierCopy>> {
  const { store, ref, signal } = context;
  const copies = new Map<string, EarlierCopy>();
  const { backups } = await listBackups(store, ref.plan, { signal });
  const newest = backups.find(({ tablets }) => tablets !== undefined);
  if (newest === undefined) return copies;
  try {
    for await (const { tablets } of readTabletLists(store, newest, { signal })) {
      for (const { tablet, replica, files } of tablets) {
        copies.set(tablet, { replica, bytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) });
      }
      context.heartbeat({ earlier: copies.size });
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
    context.log('the lists of the last backup can not be read: tablets are placed anew', {
      error: String(error),
    });
  }
  return copies;
}

/** Where tablets are now, by tablet id: for those that were not where the list said. Tablets that are gone are left out. */
export async function locateTablets(
  context: BackupContext,
  source: UniverseSource,
  tables: ReadonlySet<string>,
  tablets: ReadonlySet<string>,
): Promise<Readonly<Record<string, readonly string[]>>> {
  const universe = await openUniverse(context, source);
  const all = await readTablets(universe.admin, universe.masterWebAddresses, tables, context.signal);
  const found = all.filter(({ id }) => tablets.has(id));
  return Object.fromEntries(
    found.map((tablet) => [tablet.id, wholeReplicas(tablet).map(({ address }) => address)]),
  );
}
