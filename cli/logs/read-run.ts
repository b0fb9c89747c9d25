import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { describeHistory, type RunEvent } from './run-events.ts';

/** What happened in a run and in its parts, in the order of time, and what an activity waits out at the moment. */
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
      // Temporal forgets a part before the run that it belongs to, which then ended last.
      if (!(error instanceof WorkflowNotFoundError) || next.workflowId === workflowId) throw error;
    }
  }
  // Stable: what happened at once stays in the order of its history.
  return events.sort((one, other) => one.at.localeCompare(other.at));
}
