import { engineOf } from '../engines/registry.ts';
import type { TabletAgent } from '../engines/tablet-engine.ts';
import { universeEngine } from '../engines/universe/engine.ts';
import type { BackupRef } from '../model/backup.ts';
import { inBackup } from './backup-context.ts';
import type { Activities, NodeActivities } from './contract.ts';
import type { Repositories } from './repositories.ts';
import { asActivity } from './run-activity.ts';

/** A worker's activities for a universe, besides the verbs of every engine. */
export function universeActivities(
  repositories: Repositories,
): Pick<Activities, 'describeTablets' | 'locateTablets' | 'releaseSnapshots'> {
  return {
    describeTablets: ({ ref, epoch, shard }) =>
      inBackup(repositories, ref, (context) => universeEngine.describeTablets(context, epoch, shard)),

    // A workflow that an earlier version began names no snapshots.
    locateTablets: ({ ref, source, tables, tablets, snapshots = [] }) =>
      inBackup(repositories, ref, async (context) =>
        (await engineOf(source)).locateTablets(context, source, { tables, tablets, snapshots }),
      ),

    releaseSnapshots: ({ ref, source }) =>
      inBackup(repositories, ref, async (context) =>
        (await engineOf(source)).releaseSnapshots(context, source),
      ),
  };
}

/** The activities of one tablet server's agent. */
export function nodeActivities(repositories: Repositories, agent: TabletAgent): NodeActivities {
  const manifestOf = (ref: BackupRef) => async () => (await repositories.backup(ref)).manifest;
  return {
    saveTablets: ({ ref, ...request }) =>
      inBackup(repositories, ref, (context) => agent.save(context, { ...request, piece: 0 })),

    inspectNode: (inspection = {}) => asActivity(({ signal }) => agent.inspect(inspection, signal)),

    checkNode: ({ repository }) => asActivity(({ signal }) => agent.check(repository, signal)),

    fillTablets: ({ ref, ...request }) =>
      inBackup(repositories, ref, (context) => agent.fill(context, manifestOf(ref), request)),

    unfilledTablets: ({ ref, ...request }) =>
      inBackup(repositories, ref, (context) => agent.unfilled(context, manifestOf(ref), request)),
  };
}
