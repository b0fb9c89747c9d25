import type { BackupContext } from '../engines/engine.ts';
import { checkNode } from '../engines/universe/agent/check-node.ts';
import { fillTablets, inspectNode, unfilledTablets } from '../engines/universe/agent/fill-tablets.ts';
import type { NodeAgent } from '../engines/universe/agent/node-agent.ts';
import { onNode } from '../engines/universe/agent/on-node.ts';
import { saveTablets } from '../engines/universe/agent/save-tablets.ts';
import { releaseSnapshots } from '../engines/universe/release.ts';
import { locateTablets } from '../engines/universe/targets.ts';
import type { BackupRef, ExportSummary } from '../model/backup.ts';
import { permanent } from '../model/errors.ts';
import {
  readTabletShard,
  readTabletWorkList,
  type TabletWorkList,
} from '../repository/objects/tablet-work.ts';
import { inBackup } from './backup-context.ts';
import type { Activities, NodeActivities } from './contract.ts';
import type { Repositories } from './repositories.ts';
import { asActivity } from './run-activity.ts';

/** A worker's activities for a universe, besides the verbs that every engine has. */
export function universeActivities(
  repositories: Repositories,
): Pick<Activities, 'describeTablets' | 'locateTablets' | 'releaseSnapshots'> {
  return {
    describeTablets: ({ ref, epoch, shard }) =>
      inBackup(repositories, ref, async ({ store, signal }) => {
        const { shards } = await readTabletWorkList(store, ref, epoch, { signal });
        const entry = shards[shard];
        if (entry !== undefined) return readTabletShard(store, ref, entry, { signal });
        throw permanent(
          'WORK_NO_SHARD',
          `The list of tablets of the backup ${ref.backup} has ${shards.length} shards, so there is no shard ${shard}`,
          'Run the backup again, and report this: it is a mistake in Holdfast.',
        );
      }),

    // A workflow that was begun by an earlier version names no snapshots.
    locateTablets: ({ ref, source, tables, tablets, snapshots = [] }) =>
      inBackup(repositories, ref, (context) =>
        locateTablets(context, source, new Set(tables), new Set(tablets), snapshots),
      ),

    releaseSnapshots: ({ ref, source }) =>
      inBackup(repositories, ref, (context) => releaseSnapshots(context, source)),
  };
}

/** The activities of the agent of one tablet server. */
export function nodeActivities(repositories: Repositories, agent: NodeAgent): NodeActivities {
  const inBackupOnNode = <T>(ref: BackupRef, body: (context: BackupContext) => Promise<T>): Promise<T> =>
    inBackup(repositories, ref, (context) => onNode(agent.address, () => body(context)));
  return {
    saveTablets: ({ ref, ...request }) =>
      inBackupOnNode(ref, (context) => saveTablets(agent, context, { ...request, piece: 0 })),

    inspectNode: (inspection = {}) => asActivity(({ signal }) => inspectNode(agent, inspection, signal)),

    checkNode: ({ repository }) => asActivity(({ signal }) => checkNode(agent, repository, signal)),

    fillTablets: ({ ref, ...request }) =>
      inBackupOnNode(ref, async (context) => {
        const { manifest } = await repositories.backup(ref);
        return fillTablets(agent, context, manifest, request);
      }),

    unfilledTablets: ({ ref, ...request }) =>
      inBackupOnNode(ref, async (context) => {
        const { manifest } = await repositories.backup(ref);
        return unfilledTablets(agent, context, manifest, request);
      }),
  };
}

/** The result of `export` in history; a tablet counts as a task. */
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
