import { checkSource } from '../activities/check-activities.ts';
import { pollersOf } from '../activities/pollers.ts';
import { quietVerb } from '../engines/quiet-verb.ts';
import { checkRepository } from '../engines/repository-checks.ts';
import { resolveSecret } from '../engines/resolve-secret.ts';
import { checkNewestSchema } from '../engines/schema-trial.ts';
import type { Check } from '../model/check.ts';
import { archiveOf } from '../model/doctor.ts';
import { scratchName } from '../model/drill.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import { type AgentPoller, nodeQueue, parseAgentIdentity } from '../model/task-queue.ts';
import { checkReceivers } from '../receivers/check.ts';
import { connectClient, temporalIsConfigured } from '../worker/connection.ts';

/** The checks of `holdfast doctor --here`. This process makes them, as a worker with this environment would. */
export async function checkFromHere(plan: CompiledPlan): Promise<readonly Check[]> {
  const { source, repository } = plan.pipeline;
  const verb = quietVerb(resolveSecret);
  const options = {
    history: plan.pointTime?.inCluster !== undefined,
    agentsOf,
    ...archiveOf(plan),
  };
  return [
    ...(await checkRepository(repository)),
    ...(await checkSource(verb, source, options)),
    ...(await checkReceivers(verb, plan.notify)),
    ...(await checkNewestSchema(verb, {
      repository,
      source,
      plan: plan.name,
      restore: scratchName('doctor', new Date()),
      reading: (_, read) => read(),
    })),
  ];
}

/** The pollers of a tablet server's queue. Undefined where no Temporal is configured. */
async function agentsOf(address: string): Promise<readonly AgentPoller[] | undefined> {
  if (!temporalIsConfigured()) return undefined;
  const { client, connection } = await connectClient();
  try {
    return (await pollersOf(client, nodeQueue(address), 'activities')).map(parseAgentIdentity);
  } finally {
    await connection.close();
  }
}
