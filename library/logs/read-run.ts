import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { describeHistory, type RunEvent } from './run-events.ts';

/** What happened in a run and its parts, in the order of time, and the failures after which activities wait to be tried again. */
export async function readRun(client: Client, workflowId: string): Promise<readonly RunEvent[]> {
  const events: RunEvent[] = [];
  const waiting: { readonly workflowId: string; readonly runId?: string }[] = [{ workflowId }];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const handle = client.workflow.getHandle(next.workflowId, next.runId);
    try {
      const described = describeHistory(next.workflowId, await handle.fetchHistory());
      events.push(...described.events);
      waiting.push(...described.parts);
    } catch (error) {
      // Temporal forgets a part earlier than the run that it belongs to, so its history may be gone.
      if (!(error instanceof WorkflowNotFoundError) || next.workflowId === workflowId) throw error;
    }
  }
  // The sort is stable, so events of the same time stay in the order of their history.
  return events.sort((one, other) => one.at.localeCompare(other.at));
}
