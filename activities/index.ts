import { activityInfo } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { captureActivities } from './capture-activities.ts';
import { type Activities, READ_POINT_OPENED } from './contract.ts';
import { engineOf } from './engines.ts';
import { callWebhook } from './http.ts';
import { Pins } from './pins.ts';
import { pruneActivities } from './prune-activities.ts';
import { Repositories } from './repositories.ts';
import { repositoryActivities } from './repository-activities.ts';
import { restoreActivities } from './restore-activities.ts';
import { runActivities } from './run-activities.ts';
import { asActivity } from './verb-context.ts';

export interface HostedActivities {
  readonly activities: Activities;
  close(): Promise<void>;
}

/** The activities of one worker process, sharing its stores. `client` lets a held read point signal its workflow. */
export function createActivities(client: Client): HostedActivities {
  const repositories = new Repositories();
  const pins = new Pins(repositories, client);
  return {
    close: () => repositories.close(),
    activities: {
      ...captureActivities(repositories),
      ...repositoryActivities(repositories, pins),
      ...restoreActivities(repositories, pins),
      ...pruneActivities(repositories, pins),
      ...runActivities(client),

      flush: ({ source, waitMs }) => asActivity((verb) => engineOf(source).flush(verb, source, { waitMs })),

      snapshot: ({ source, firstEpoch }) =>
        asActivity(async (verb) => {
          const opened = await engineOf(source).openReadPoint(verb, source, firstEpoch + verb.attempt - 1);
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
        asActivity((verb) => engineOf(source).sql(verb, source, statement, database)),

      http: ({ request, body }) => asActivity((verb) => callWebhook(verb, request, body)),
    },
  };
}

/** Rejects when the activity is told to stop. */
function stopped(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
