import type { Client } from '@temporalio/client';

/** `temporal.api.enums.v1.TaskQueueType`. */
const QUEUE_TYPES = { workflows: 1, activities: 2 } as const;

/** `temporal.api.enums.v1.WorkerVersioningMode`. */
const VERSIONED = 2;

/**
 * A poller counts as alive if it polled within this time. A poll waits for work for a minute, and Temporal lists a dead poller for
 * minutes.
 */
const POLLS_AGAIN_WITHIN_MS = 90_000;

/** Whether a worker takes new work from a task queue. Workers of a deployment do so only while their build is its current one. */
export async function isPolled(
  client: Client,
  taskQueue: string,
  type: keyof typeof QUEUE_TYPES = 'workflows',
): Promise<boolean> {
  const { pollers, current } = await describe(client, taskQueue, type);
  return pollers.some(({ build }) => build === current);
}

/** The identities of the pollers of a task queue, whichever build they are. */
export async function pollersOf(
  client: Client,
  taskQueue: string,
  type: keyof typeof QUEUE_TYPES,
): Promise<readonly string[]> {
  return (await describe(client, taskQueue, type)).pollers.map(({ identity }) => identity);
}

interface Poller {
  readonly identity: string;
  /** Undefined for a worker that belongs to no deployment. */
  readonly build: string | undefined;
}

/** The live pollers of a task queue, and the build that new work goes to. */
async function describe(
  client: Client,
  taskQueue: string,
  type: keyof typeof QUEUE_TYPES,
): Promise<{ readonly pollers: readonly Poller[]; readonly current: string | undefined }> {
  const { pollers, versioningInfo } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: taskQueue },
    taskQueueType: QUEUE_TYPES[type],
  });
  const oldest = Date.now() - POLLS_AGAIN_WITHIN_MS;
  return {
    pollers: (pollers ?? [])
      .filter(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1_000 > oldest)
      .map(({ identity, deploymentOptions }) => ({
        identity: identity ?? '',
        build:
          deploymentOptions?.workerVersioningMode === VERSIONED ? nameOfBuild(deploymentOptions) : undefined,
      })),
    current: nameOfBuild(versioningInfo?.currentDeploymentVersion),
  };
}

/** Undefined where Temporal names no build. */
function nameOfBuild(
  build: { readonly deploymentName?: string | null; readonly buildId?: string | null } | null | undefined,
): string | undefined {
  return build?.buildId ? `${build.deploymentName}:${build.buildId}` : undefined;
}
