import type { ExportSummary, ObjectEntry } from '../../model/backup.ts';
import { defined } from '../../model/defined.ts';
import { permanent } from '../../model/errors.ts';
import type { ManifestDatabase } from '../../model/manifest.ts';
import type { UniverseSource } from '../../model/pipeline.ts';
import type { TabletBatch } from '../../model/tablets.ts';
import {
  findTabletWorkList,
  readTabletBatch,
  readTabletWorkList,
  type TabletWorkList,
  writeTabletWorkList,
} from '../../repository/objects/tablet-work.ts';
import type { BackupContext } from '../engine.ts';
import { dumpGlobals } from '../ysql/server/globals-dump.ts';
import { putScript } from '../ysql/server/scripts.ts';
import { clusterUuidOf, encryptionOf, KEY_UNKNOWN } from './encryption.ts';
import { type Exported, exportDatabase, exportKeyspace, type SnapshotPoint } from './export-database.ts';
import { serversByAddress } from './servers.ts';
import { findTargets } from './targets.ts';
import { openUniverse, ownYsqlTarget, serverOf, type Universe } from './universe.ts';
import { listSnapshots } from './yb-admin/snapshots.ts';
import { listTabletServers } from './yb-admin/topology.ts';
import { universeConfig } from './yb-admin/upkeep.ts';
import { programVersion } from './yb-admin/version.ts';

/**
 * Writes what belongs to the snapshots besides the tablets' files (schemas, sequences, roles, the snapshots' metadata), finds the tablets and where
 * they are, and writes the list of what is to be saved.
 *
 * Throws `READ_POINT_LOST` (permanent) if the schema changed between the snapshot and its dump: the caller takes another snapshot.
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
  const target = hasYsql ? await ownYsqlTarget(context, universe) : undefined;
  const server = target === undefined ? undefined : await serverOf(target, signal);
  const objects = new Map(
    (await listSnapshots(universe.admin, { details: true })).map((snapshot) => [
      snapshot.id,
      snapshot.objects,
    ]),
  );
  const databases: ManifestDatabase[] = [];
  const snapshots: Omit<Exported, 'database'>[] = [];
  for (const [index, database] of readPoint.databases.entries()) {
    context.heartbeat({ database: database.database });
    const ofSnapshot = database.snapshot === undefined ? [] : (objects.get(database.snapshot) ?? []);
    const exporting = { context, universe, readPoint, index, database, objects: ofSnapshot };
    const exported =
      target === undefined || server === undefined || database.api === 'ycql'
        ? await exportKeyspace(exporting)
        : await exportDatabase(exporting, target, server);
    databases.push(exported.database);
    snapshots.push(exported);
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
    universe: { snapshots: snapshots.map(({ snapshot }) => snapshot), ...(await identityOf(universe)) },
  };
  const targets = await findTargets(context, universe, snapshots);
  const servers = serversByAddress(await listTabletServers(universe.admin));
  return await writeTabletWorkList(store, ref, readPoint.epoch, description, targets, { signal, servers });
}

/** The part of a list of tablets that goes into history. A tablet counts as a task. */
export function describeTabletWork(workList: TabletWorkList): ExportSummary {
  const { epoch, shards, tablets, databases, estimatedBytes, nodes } = workList;
  return {
    epoch,
    shards: shards.length,
    tasks: tablets,
    tables: databases.reduce((sum, { tables }) => sum + tables.length, 0),
    databases: databases.map(({ name }) => name),
    estimatedBytes,
    nodes,
  };
}

/** The tablets of one batch of the list. Throws `WORK_NO_SHARD` (permanent). */
export async function describeTablets(
  { store, ref, signal }: BackupContext,
  epoch: number,
  batch: number,
): Promise<TabletBatch> {
  const { shards } = await readTabletWorkList(store, ref, epoch, { signal });
  const entry = shards[batch];
  if (entry !== undefined) return readTabletBatch(store, ref, entry, { signal });
  throw permanent(
    'WORK_NO_SHARD',
    `The list of tablets of the backup ${ref.backup} has ${shards.length} batches, so there is no batch ${batch}`,
    'Run the backup again, and report this: it is a mistake in Holdfast.',
  );
}

/** The universe's UUID, and the key that its files are encrypted with, as far as it reports them. */
async function identityOf({ admin }: Universe): Promise<{ clusterUuid?: string; encryption?: string }> {
  const config = await universeConfig(admin);
  const clusterUuid = clusterUuidOf(config);
  const encryption = encryptionOf(config);
  return {
    ...defined({ clusterUuid }),
    ...(encryption?.enabled === true ? { encryption: encryption.key ?? KEY_UNKNOWN } : {}),
  };
}
