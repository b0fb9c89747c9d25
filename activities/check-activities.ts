import { activityInfo } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import type { CheckOptions, VerbContext } from '../engines/engine.ts';
import { engineOf } from '../engines/registry.ts';
import { checkPruneCredentials, checkRepository } from '../engines/repository-checks.ts';
import { checkNewestSchema } from '../engines/schema-trial.ts';
import { workerIdentity } from '../engines/worker-identity.ts';
import type { Check } from '../model/check.ts';
import { defined } from '../model/defined.ts';
import type { CheckAnswer, CheckInput } from '../model/doctor.ts';
import { scratchName, scratchNameIn } from '../model/drill.ts';
import type { Source } from '../model/pipeline.ts';
import { type AgentPoller, nodeQueue, parseAgentIdentity } from '../model/task-queue.ts';
import { checkReceivers } from '../receivers/check.ts';
import type { Activities } from './contract.ts';
import type { Pins } from './pins.ts';
import { pollersOf } from './pollers.ts';
import { asActivity } from './run-activity.ts';

/** A source that doesn't answer within this time fails its check. */
const LOOKS_AT_MOST_MS = 60_000;

/** The questions that `holdfast doctor` asks the workers of a plan. */
export function checkActivities(client: Client, pins: Pins): Pick<Activities, 'check'> {
  return { check: (input) => asActivity((verb) => answer(verb, input, client, pins)) };
}

async function answer(
  verb: VerbContext,
  input: CheckInput,
  client: Client,
  pins: Pins,
): Promise<CheckAnswer> {
  const worker = workerIdentity();
  const { duty, repository, source, history, archive, answered, notify } = input;
  if (answered === worker.identity) return { worker, checks: [], agents: [] };
  if (duty === 'prune') return { worker, checks: [await checkPruneCredentials(repository)], agents: [] };
  const agents: string[] = [];
  const agentsOf = async (address: string): Promise<readonly AgentPoller[]> => {
    const pollers = await pollersOf(client, nodeQueue(address), 'activities');
    if (pollers.length > 0) agents.push(address);
    return pollers.map(parseAgentIdentity);
  };
  const options = { history, agentsOf, ...defined({ archive }) };
  const ofSource = await checkSource(verb, source, options);
  if (duty === 'read-points') {
    const checks = ofSource.map(({ name, ...rest }) => ({
      name: `where read points are held: ${name}`,
      ...rest,
    }));
    return { worker, checks, agents: [] };
  }
  const ofRepository = await checkRepository(repository);
  const ofReceivers = await checkReceivers(verb, notify);
  const checks = [...ofRepository, ...ofSource, ...ofReceivers, ...(await trySchema(verb, input, pins))];
  return { worker, checks, agents };
}

/**
 * Tries the newest backup's schema in scratch databases. The backup stays pinned: should this process die, the pin says which
 * scratch databases it may have left.
 */
async function trySchema(
  verb: VerbContext,
  { repository, source, schemaOf }: CheckInput,
  pins: Pins,
): Promise<readonly Check[]> {
  if (schemaOf === undefined) return [];
  const workflowId = activityInfo().workflowExecution?.workflowId ?? '';
  const restore = scratchNameIn(workflowId) ?? scratchName('doctor', new Date());
  return checkNewestSchema(verb, {
    repository,
    source,
    plan: schemaOf,
    restore,
    reading: (ref, read) => pins.whilePinned(ref, read),
  });
}

/** Checks, from this process, what a backup needs of its source. Ends within a minute, whatever the source does. */
export async function checkSource(
  verb: VerbContext,
  source: Source,
  options: CheckOptions,
): Promise<readonly Check[]> {
  const bounded = {
    ...verb,
    signal: AbortSignal.any([verb.signal, AbortSignal.timeout(LOOKS_AT_MOST_MS)]),
  };
  return (await engineOf(source)).check(bounded, source, options);
}
