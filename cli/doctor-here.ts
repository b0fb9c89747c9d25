import { checkSource } from '../activities/check-activities.ts';
import { isPolled } from '../activities/pollers.ts';
import { checkRepository } from '../activities/repository-checks.ts';
import { resolveSecret } from '../activities/secrets.ts';
import type { Check } from '../model/check.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import { nodeQueue } from '../model/task-queue.ts';
import { connectClient, temporalIsConfigured } from '../worker/connection.ts';

/** What `holdfast doctor --here` looks at: everything from this process, as a worker with this environment would find it. */
export async function checkFromHere(plan: CompiledPlan): Promise<readonly Check[]> {
  const { source, repository } = plan.pipeline;
  const verb = {
    signal: new AbortController().signal,
    attempt: 1,
    heartbeat: () => undefined,
    log: () => undefined,
    secret: resolveSecret,
  };
  const options = { history: plan.pointTime !== undefined, agentOf };
  return [...(await checkRepository(repository)), ...(await checkSource(verb, source, options))];
}

/** Whether an agent polls the queue of a tablet server; undefined where Temporal isn't configured. */
async function agentOf(address: string): Promise<boolean | undefined> {
  if (!temporalIsConfigured()) return undefined;
  const { client, connection } = await connectClient();
  try {
    return await isPolled(client, nodeQueue(address), 'activities');
  } finally {
    await connection.close();
  }
}
