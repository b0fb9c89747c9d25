import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import { identifySource } from '../engines/source-identity.ts';
import type { SourceClaim } from '../model/source-claim.ts';
import type { Activities, RunState } from './contract.ts';
import { ENTER_SOURCE, sourceGateId } from './contract.ts';
import { asActivity } from './run-activity.ts';

/** What runs need to know of each other, all of it from Temporal. Tests without a database pass another `identify`. */
export function runActivities(
  client: Client,
  identify = identifySource,
): Pick<Activities, 'claimSource' | 'statesOfRuns'> {
  return {
    claimSource: ({ source, holder, mode, title, since, taskQueue }) =>
      asActivity(async (verb) => {
        const { server, databases } = await identify(source, verb.secret);
        const claim: SourceClaim = { holder, mode, databases, title, since };
        const gate = sourceGateId(server);
        await client.workflow.signalWithStart('sourceGate', {
          workflowId: gate,
          taskQueue,
          args: [{ holders: [], waiting: [] }],
          signal: ENTER_SOURCE,
          signalArgs: [claim],
          staticSummary: `Who works on the ${source.engine} server ${server}: overwriting restores alone, backups together`,
        });
        return { gate };
      }),

    statesOfRuns: ({ workflowIds }) =>
      asActivity(() => Promise.all(workflowIds.map((workflowId) => stateOf(client, workflowId)))),
  };
}

async function stateOf(client: Client, workflowId: string): Promise<RunState> {
  try {
    const { status } = await client.workflow.getHandle(workflowId).describe();
    return { workflowId, status: status.name === 'RUNNING' ? 'running' : 'ended', ending: status.name };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { workflowId, status: 'unknown' };
    throw error;
  }
}
