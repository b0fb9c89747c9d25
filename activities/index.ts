import { activityInfo } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import type { OpenReadPoint, VerbContext } from '../engines/engine.ts';
import { engineOf } from '../engines/registry.ts';
import { NodeAgent, type NodeSettings } from '../engines/universe/agent/node-agent.ts';
import { flushUniverse } from '../engines/universe/flush.ts';
import { releaseLeftovers } from '../engines/universe/release.ts';
import { openSnapshots } from '../engines/universe/snapshot.ts';
import { openUniverse, ownYsqlTarget } from '../engines/universe/universe.ts';
import { runStatementAt } from '../engines/ysql/sql.ts';
import type { BackupRef, ReadPoint } from '../model/backup.ts';
import type { RepositorySpec, Source } from '../model/pipeline.ts';
import type { Catalogue } from '../model/recovery.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { backupFolder } from '../repository/layout.ts';
import { captureActivities } from './backup-activities.ts';
import { checkActivities } from './check-activities.ts';
import { type Activities, type NodeActivities, READ_POINT_OPENED } from './contract.ts';
import { callWebhook } from './http.ts';
import { inClusterActivities } from './in-cluster-activities.ts';
import { Pins } from './pins.ts';
import { planActivities } from './plan-activities.ts';
import { pruneActivities } from './prune-activities.ts';
import { rehearsalLeftovers } from './rehearsal-leftovers.ts';
import { Repositories } from './repositories.ts';
import { repositoryActivities } from './repository-activities.ts';
import { restoreActivities } from './restore-activities.ts';
import { runActivities } from './run-activities.ts';
import { asActivity, stopped } from './run-activity.ts';
import { nodeActivities, universeActivities } from './universe-activities.ts';
import { universeRestoreActivities } from './universe-restore-activities.ts';

export interface HostedActivities {
  readonly activities: Activities;
  /** Those of the agent of one tablet server. */
  ofNode(settings: NodeSettings): NodeActivities;
  /** What a plan's repository holds; outside any activity, for metrics. */
  catalogueOf(repository: RepositorySpec, plan: string): Promise<Catalogue>;
  close(): Promise<void>;
}

/** The activities of one worker process, sharing its stores. `client` lets a held read point signal its workflow. */
export function createActivities(client: Client): HostedActivities {
  const repositories = new Repositories();
  const pins = new Pins(repositories, client);
  return {
    close: () => repositories.close(),
    catalogueOf: async (repository, plan) =>
      readCatalogue(await repositories.look(repository), repository, plan),
    ofNode: (settings) => nodeActivities(repositories, new NodeAgent(settings)),
    activities: {
      ...captureActivities(repositories),
      ...repositoryActivities(repositories, pins),
      ...restoreActivities(repositories, pins),
      ...rehearsalLeftovers(repositories, pins),
      ...pruneActivities(repositories, pins),
      ...runActivities(client),
      ...checkActivities(client),
      ...planActivities(client, repositories),

      ...universeActivities(repositories),
      ...universeRestoreActivities(repositories, pins, client),
      ...inClusterActivities(repositories),

      flush: ({ source, waitMs }) =>
        asActivity((verb) =>
          source.engine === 'universe'
            ? flushUniverse(verb, source, { waitMs })
            : engineOf(source).flush(verb, source, { waitMs }),
        ),

      snapshot: ({ source, firstEpoch, ref }) =>
        asActivity(async (verb) => {
          const opened = await openReadPoint(repositories, verb, source, firstEpoch, ref);
          if (opened.held === undefined) return opened.readPoint;
          const { held, readPoint } = opened;
          try {
            const run = activityInfo().workflowExecution;
            if (run === undefined) throw new Error('snapshot must run as an activity of a workflow');
            await client.workflow.getHandle(run.workflowId, run.runId).signal(READ_POINT_OPENED, readPoint);
            await Promise.race([held.lost, stopped(verb.signal)]);
            return readPoint;
          } finally {
            await held.close();
          }
        }),

      sql: ({ source, statement, database }) =>
        asActivity(async (verb) => {
          if (source.engine !== 'universe') return engineOf(source).sql(verb, source, statement, database);
          const target = await ownYsqlTarget(verb, await openUniverse(verb, source));
          return runStatementAt(verb, target, statement, database);
        }),

      http: ({ request, body }) => asActivity((verb) => callWebhook(verb, request, body)),
    },
  };
}

async function openReadPoint(
  repositories: Repositories,
  verb: VerbContext,
  source: Source,
  firstEpoch: number,
  ref: BackupRef | undefined,
): Promise<OpenReadPoint<ReadPoint>> {
  if (source.engine !== 'universe') {
    return engineOf(source).openReadPoint(verb, source, firstEpoch + verb.attempt - 1);
  }
  if (ref === undefined) throw new TypeError('the snapshot of a universe belongs to a backup');
  const store = await repositories.open(ref.repository);
  const context = { ...verb, ref, store, folder: backupFolder(ref) };
  await releaseLeftovers(context, source);
  return openSnapshots(context, source, firstEpoch);
}
