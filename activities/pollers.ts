import type { Client } from '@temporalio/client';

/** `temporal.api.enums.v1.TaskQueueType`. */
const QUEUE_TYPES = { workflows: 1, activities: 2 } as const;

/**
 * A poller counts as alive if it polled within this time. A poll waits for work for a minute, and Temporal lists a dead poller for
 * minutes.
 */
const POLLS_AGAIN_WITHIN_MS = 90_000;

/** Whether a worker polls a task queue. */
export async function isPolled(
  client: Client,
  taskQueue: string,
  type: keyof typeof QUEUE_TYPES = 'workflows',
): Promise<boolean> {
  return (await pollersOf(client, taskQueue, type)).length > 0;
}

/** The identities of the pollers of a task queue. */
export async function pollersOf(
  client: Client,
  taskQueue: string,
  type: keyof typeof QUEUE_TYPES,
): Promise<readonly string[]> {
  const { pollers } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: taskQueue },
    taskQueueType: QUEUE_TYPES[type],
  });
  const oldest = Date.now() - POLLS_AGAIN_WITHIN_MS;
  return (pollers ?? [])
    .filter(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1_000 > oldest)
    .map(({ identity }) => identity ?? '');
}
