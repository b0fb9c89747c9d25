import { activityInfo } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import type { ReadPointContext, VerbContext } from '../engines/engine.ts';
import { engineOf } from '../engines/registry.ts';
import type { NodeSettings } from '../engines/universe/agent/node-agent.ts';
import { universeEngine } from '../engines/universe/engine.ts';
import { openScheduled } from '../engines/universe/off-cluster/open.ts';
import { archiveStandings } from '../engines/ysql/archive/window.ts';
import type { ArchiveStanding } from '../model/archive-standing.ts';
import type { BackupRef } from '../model/backup.ts';
import { tabletSource } from '../model/engine-kind.ts';
import type { RepositorySpec, Source, UniverseSource } from '../model/pipeline.ts';
import type { Catalogue } from '../model/recovery.ts';
import { callWebhook } from '../receivers/http.ts';
import { sendMail } from '../receivers/mail.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { backupFolder } from '../repository/layout.ts';
import { archiveActivities } from './archive-activities.ts';
import { backupActivities } from './backup-activities.ts';
import { checkActivities } from './check-activities.ts';
import { type Activities, type NodeActivities, READ_POINT_OPENED } from './contract.ts';
import { discoveryActivities } from './discovery-activities.ts';
import { inClusterActivities } from './in-cluster-activities.ts';
import { Pins } from './pins.ts';
import { planActivities } from './plan-activities.ts';
import { pruneActivities } from './prune-activities.ts';
import { Repositories } from './repositories.ts';
import { repositoryActivities } from './repository-activities.ts';
import { restoreActivities } from './restore-activities.ts';
import { runActivities } from './run-activities.ts';
import { asActivity, stopped } from './run-activity.ts';
import { scratchLeftovers } from './scratch-leftovers.ts';
import { nodeActivities, universeActivities } from './universe-activities.ts';
import { universeRestoreActivities } from './universe-restore-activities.ts';

/** What one worker process hosts, and what it reads for metrics. */
export interface HostedActivities {
  readonly activities: Activities;
  /** The activities of one tablet server's agent. */
  ofNode(settings: NodeSettings): NodeActivities;
  /** Reads the catalogue of a plan. For metrics: it runs outside any activity. */
  catalogueOf(repository: RepositorySpec, plan: string): Promise<Catalogue>;
  /** Reads the state of the plan's archive of changes. For metrics: it runs outside any activity. */
  archiveOf(repository: RepositorySpec, plan: string): Promise<readonly ArchiveStanding[]>;
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
    archiveOf: async (repository, plan) => archiveStandings(await repositories.look(repository), plan),
    ofNode: (settings) => nodeActivities(repositories, universeEngine.agentOf(settings)),
    activities: {
      ...backupActivities(repositories),
      ...discoveryActivities(client),
      ...repositoryActivities(repositories, pins),
      ...restoreActivities(repositories, pins),
      ...scratchLeftovers(repositories, pins),
      ...pruneActivities(repositories, pins),
      ...runActivities(client),
      ...checkActivities(client, pins),
      ...planActivities(client, repositories),
      ...archiveActivities(client, repositories),

      ...universeActivities(repositories),
      ...universeRestoreActivities(repositories, pins, client),
      ...inClusterActivities(repositories),

      flush: ({ source, waitMs }) =>
        asActivity(async (verb) => (await engineOf(source)).flush(verb, source, { waitMs })),

      snapshot: ({ source, firstEpoch, ref, scheduled }) =>
        asActivity(async (verb) => {
          const context = readPointContext(repositories, verb, ref);
          const opened =
            scheduled === undefined
              ? await (await engineOf(source)).openReadPoint(context, source, firstEpoch)
              : await openScheduled(await context.backup(), ofUniverse(source), firstEpoch, scheduled);
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
        asActivity(async (verb) => (await engineOf(source)).sql(verb, source, statement, database)),

      http: ({ request, body }) => asActivity((verb) => callWebhook(verb, request, body)),
      mail: (request) => asActivity((verb) => sendMail(verb, request)),
    },
  };
}

function ofUniverse(source: Source): UniverseSource {
  const universe = tabletSource(source);
  if (universe === undefined) throw new TypeError('only a universe has snapshot schedules');
  return universe;
}

/** In old histories the input names no backup. Their engines don't ask for it. */
function readPointContext(
  repositories: Repositories,
  verb: VerbContext,
  ref: BackupRef | undefined,
): ReadPointContext {
  return {
    ...verb,
    backup: async () => {
      if (ref === undefined) throw new TypeError('the snapshot of a universe belongs to a backup');
      const store = await repositories.open(ref.repository);
      return { ...verb, ref, store, folder: backupFolder(ref) };
    },
  };
}
