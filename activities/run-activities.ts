import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { VerbContext } from '../engines/engine.ts';
import { engineOf } from '../engines/registry.ts';
import type { Source } from '../model/pipeline.ts';
import type { LockRequest, SourceIdentity } from '../model/source-lock.ts';
import type { Activities, RunState } from './contract.ts';
import { ENTER_SOURCE, sourceLockId } from './contract.ts';
import { asActivity } from './run-activity.ts';

type Identify = (source: Source, secret: VerbContext['secret']) => Promise<SourceIdentity>;

/** What runs need to know of each other, asked only of Temporal. Tests without a database pass their own `identify`. */
export function runActivities(
  client: Client,
  identify: Identify = async (source, secret) => (await engineOf(source)).identify(source, secret),
): Pick<Activities, 'claimSource' | 'statesOfRuns'> {
  return {
    claimSource: ({ source, holder, mode, title, since, taskQueue }) =>
      asActivity(async (verb) => {
        const { server, databases } = await identify(source, verb.secret);
        const request: LockRequest = { holder, mode, databases, title, since };
        const lock = sourceLockId(server);
        await client.workflow.signalWithStart('sourceGate', {
          workflowId: lock,
          taskQueue,
          args: [{ holders: [], waiting: [] }],
          signal: ENTER_SOURCE,
          signalArgs: [request],
          staticSummary: `Who works on the ${source.engine} server ${server}: overwriting restores alone, backups together`,
        });
        return { gate: lock };
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
