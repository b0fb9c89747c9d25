import type { DatabaseSnapshot, ReadPoint } from '../../../model/backup.ts';
import type { ScheduledSnapshot } from '../../../model/carried-history.ts';
import { permanent } from '../../../model/errors.ts';
import type { UniverseSource } from '../../../model/pipeline.ts';
import type { BackupContext, OpenReadPoint } from '../../engine.ts';
import { holdSplitting } from '../splitting.ts';
import { openUniverse } from '../universe.ts';
import { findSnapshot } from '../yb-admin/snapshots.ts';

/** Stands for a catalog version that nobody saw. It equals none, so the schemas themselves are compared. */
const VERSION_NOT_SEEN = 'not seen';

/**
 * Opens a read point of a snapshot that the schedule took. Begins nothing in the universe, so nothing needs deleting there afterwards. Tablet
 * splitting is held meanwhile, since a split deletes the folders of the parent, snapshots included.
 *
 * @throws HoldfastError `HISTORY_GONE` (permanent) if the snapshot can't be exported (any more): no other snapshot could take its place
 */
export async function openScheduled(
  context: BackupContext,
  source: UniverseSource,
  epoch: number,
  scheduled: ScheduledSnapshot,
): Promise<OpenReadPoint<ReadPoint>> {
  const { snapshot, database, api, takenAt, history, catalogVersion } = scheduled;
  if (epoch > 1) {
    throw gone(
      snapshot,
      database,
      'can’t be exported: its tablets were split or replaced, or its schema can’t be read any more',
    );
  }
  const universe = await openUniverse(context, source);
  const splitting = await holdSplitting(universe.admin, context);
  try {
    const state = (await findSnapshot(universe.admin, snapshot))?.state;
    if (state !== 'COMPLETE')
      throw gone(snapshot, database, `is ${state ?? 'gone'}, so it can’t be exported any more`);
    const described: DatabaseSnapshot = {
      database,
      api,
      snapshot,
      snapshotTime: takenAt,
      history,
      ...(api === 'ysql' ? { catalogVersion: catalogVersion ?? VERSION_NOT_SEEN } : {}),
    };
    return {
      readPoint: { kind: 'universe-snapshot', epoch, takenAt, databases: [described] },
      held: { lost: splitting.lost, close: () => splitting.release() },
    };
  } catch (error) {
    await splitting.release();
    throw error;
  }
}

function gone(snapshot: string, database: string, what: string): Error {
  return permanent(
    'HISTORY_GONE',
    `The scheduled snapshot ${snapshot} of ${database} ${what}`,
    'The instants between the snapshots before and after it can’t be reached off the cluster: the recovery window shows the hole. The next snapshot is exported as usual.',
  );
}
