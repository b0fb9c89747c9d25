import { Client, Connection, defaultPayloadConverter } from '@temporalio/client';

/** A workflow that has ended. */
export interface EndedRun {
  /** Of Temporal. */
  readonly address: string;
  readonly workflowId: string;
}

/**
 * Has Temporal forget everything since right before the workflow first scheduled this activity, as a server that was put back to an
 * older state has, and waits for the end of what runs then. Returns the workflow's result; throws as `WorkflowHandle.result`.
 */
export async function putBack({ address, workflowId }: EndedRun, activity: string): Promise<unknown> {
  return await withClient(address, async (client) => {
    const [first] = await executionsOf(client, workflowId);
    const handle = client.workflow.getHandle(workflowId, first);
    const { events = [] } = await handle.fetchHistory();
    const scheduled = (events ?? []).find(
      (event) => event.activityTaskScheduledEventAttributes?.activityType?.name === activity,
    )?.activityTaskScheduledEventAttributes;
    if (scheduled?.workflowTaskCompletedEventId == null)
      throw new Error(`${workflowId} never scheduled ${activity}`);
    const { runId } = await client.workflowService.resetWorkflowExecution({
      namespace: 'default',
      workflowExecution: { workflowId, runId: first ?? '' },
      reason: 'the test puts Temporal back',
      workflowTaskFinishEventId: scheduled.workflowTaskCompletedEventId,
      requestId: `${activity}-${Date.now()}`,
    });
    return await client.workflow.getHandle(workflowId, runId).result();
  });
}

/** Starts a workflow of the same type with an altered copy of its only argument, and waits for its result. */
export async function startAgain<T>(
  { address, workflowId }: EndedRun,
  alter: (argument: Readonly<Record<string, unknown>>) => object,
): Promise<T> {
  return await withClient(address, async (client) => {
    const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
    const started = events?.[0]?.workflowExecutionStartedEventAttributes;
    const [payload] = started?.input?.payloads ?? [];
    if (payload === undefined) throw new Error(`${workflowId} was started without an argument`);
    return (await client.workflow.execute(started?.workflowType?.name ?? '', {
      workflowId: `${workflowId}-again`,
      taskQueue: started?.taskQueue?.name ?? '',
      args: [alter(defaultPayloadConverter.fromPayload(payload))],
    })) as T;
  });
}

/** Run ids, the oldest first. */
async function executionsOf(client: Client, workflowId: string): Promise<readonly string[]> {
  const runs = await Array.fromAsync(client.workflow.list({ query: `WorkflowId = "${workflowId}"` }));
  return runs.toSorted((a, b) => a.startTime.getTime() - b.startTime.getTime()).map(({ runId }) => runId);
}

async function withClient<T>(address: string, use: (client: Client) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address });
  try {
    return await use(new Client({ connection }));
  } finally {
    await connection.close();
  }
}
