import { pollersOf } from '../activities/pollers.ts';
import { apiVersion } from '../compiler/schema/parts.ts';
import { appliedPlans, findEntity } from '../library/plan-entities.ts';
import { recover } from '../model/errors.ts';
import { versionOfWorker } from '../model/task-queue.ts';
import { ARCHIVE_FORMAT_VERSION } from '../repository/archive/archive.ts';
import {
  PACKS_FORMAT_VERSION,
  PLAIN_FORMAT_VERSION,
  SHARED_ROWS_FORMAT_VERSION,
} from '../repository/backups/manifest.ts';
import { CLEAR_FORMAT_VERSION, REPOSITORY_FORMAT_VERSION } from '../repository/repository.ts';
import { findSession, type Session } from './session.ts';

/** What this version reads and writes. */
export const FORMATS = {
  plans: { reads: [apiVersion.value], writes: [apiVersion.value] },
  repositories: {
    reads: [CLEAR_FORMAT_VERSION, REPOSITORY_FORMAT_VERSION],
    writes: [CLEAR_FORMAT_VERSION, REPOSITORY_FORMAT_VERSION],
  },
  manifests: {
    reads: [PLAIN_FORMAT_VERSION, PACKS_FORMAT_VERSION, SHARED_ROWS_FORMAT_VERSION],
    writes: [PLAIN_FORMAT_VERSION, PACKS_FORMAT_VERSION, SHARED_ROWS_FORMAT_VERSION],
  },
  archives: { reads: [ARCHIVE_FORMAT_VERSION], writes: [ARCHIVE_FORMAT_VERSION] },
} as const;

interface FoundWorker {
  readonly taskQueue: string;
  /** As Temporal's pages name it. */
  readonly identity: string;
  /** Absent: the worker's version is too old to report it. */
  readonly version?: string;
}

interface FoundServer {
  /** Describes the server for people. */
  readonly which: string;
  readonly version?: string;
}

/** The Temporal server, if one is configured or runs, and the workers on the task queues of this environment and of applied plans. Starts nothing. */
export async function serverAndWorkers(): Promise<{
  readonly server?: FoundServer;
  readonly workers: readonly FoundWorker[];
}> {
  const session = await runningSession();
  if (session === undefined) return { workers: [] };
  try {
    const { client } = session;
    const { serverVersion } = await client.workflowService.getSystemInfo({});
    const workers: FoundWorker[] = [];
    for (const taskQueue of await queuesOf(session)) {
      for (const identity of await pollersOf(client, taskQueue, 'workflows')) {
        const version = versionOfWorker(identity);
        workers.push({ taskQueue, identity, ...(version === undefined ? {} : { version }) });
      }
    }
    return {
      server: { which: session.server, ...(serverVersion ? { version: serverVersion } : {}) },
      workers,
    };
  } finally {
    await session.end();
  }
}

/** Undefined where the embedded server is stopped. */
async function runningSession(): Promise<Session | undefined> {
  return await recover(findSession({ starts: 'nothing' }), 'SERVER_STOPPED', () => undefined);
}

async function queuesOf({ client, taskQueue }: Session): Promise<readonly string[]> {
  const entities = await Promise.all((await appliedPlans(client)).map((name) => findEntity(client, name)));
  const queues = entities.flatMap((entity) => entity?.status.taskQueue ?? []);
  return [...new Set([taskQueue, ...queues])].sort();
}
