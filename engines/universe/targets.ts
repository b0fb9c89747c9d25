import { permanent, READ_POINT_LOST } from '../../model/errors.ts';
import type { UniverseSource } from '../../model/pipeline.ts';
import type { TabletTarget } from '../../model/tablets.ts';
import { listBackups } from '../../repository/backups/list-backups.ts';
import { readTabletLists } from '../../repository/objects/tablet-lists.ts';
import { isDamage } from '../../repository/store-errors.ts';
import type { BackupContext } from '../engine.ts';
import type { TabletPlaces, WantedTablets } from '../tablet-engine.ts';
import { requireSnapshotsTablets } from './accounting.ts';
import { readTablets } from './entities.ts';
import type { Exported } from './export-database.ts';
import { type EarlierCopy, placeTablets, wholeReplicas } from './placement.ts';
import { openUniverse, type Universe } from './universe.ts';
import { findSnapshot } from './yb-admin/snapshots.ts';

/**
 * The tablets of these snapshots, each with the replicas to take it from. Throws as `requireSnapshotsTablets` if the universe's tablets are not the
 * snapshots'.
 */
export async function findTargets(
  context: BackupContext,
  universe: Universe,
  snapshots: readonly Omit<Exported, 'database'>[],
): Promise<readonly TabletTarget[]> {
  const snapshotOfTable = new Map<string, string>();
  for (const {
    snapshot: { snapshot, tables },
  } of snapshots) {
    for (const { id } of tables) if (snapshot !== undefined) snapshotOfTable.set(id, snapshot);
  }
  if (snapshotOfTable.size === 0) return [];
  const tablets = await readTablets(
    universe.admin,
    universe.masterWebAddresses,
    new Set(snapshotOfTable.keys()),
    context.signal,
  );
  for (const { snapshot, colocated, contents } of snapshots) {
    if (snapshot.snapshot !== undefined) requireSnapshotsTablets(snapshot, colocated, contents, tablets);
  }
  return placeTablets(tablets, (table) => snapshotOfTable.get(table) ?? '', await earlierCopies(context));
}

/** The tablets of the plan's newest backup, whose files the repository has. None if that backup is damaged. */
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

/**
 * Where tablets are now, by tablet id. Called for tablets that were not where the work list said. Leaves out tablets that are gone.
 *
 * Throws `READ_POINT_LOST` (permanent) if their snapshot is gone: the caller takes another.
 */
export async function locateTablets(
  context: BackupContext,
  source: UniverseSource,
  { tables, tablets, snapshots }: WantedTablets,
): Promise<TabletPlaces> {
  const universe = await openUniverse(context, source);
  for (const snapshot of snapshots) {
    const state = (await findSnapshot(universe.admin, snapshot))?.state;
    if (state !== undefined && state !== 'DELETING' && state !== 'DELETED') continue;
    throw permanent(
      READ_POINT_LOST,
      `The snapshot ${snapshot} is gone before all of its files were saved: it has expired, or somebody has deleted it`,
      'Another snapshot is taken. Give `snapshotRetention` in the plan more time than a backup takes.',
    );
  }
  const all = await readTablets(universe.admin, universe.masterWebAddresses, new Set(tables), context.signal);
  const wanted = new Set(tablets);
  const found = all.filter(({ id }) => wanted.has(id));
  return Object.fromEntries(
    found.map((tablet) => [tablet.id, wholeReplicas(tablet).map(({ address }) => address)]),
  );
}
