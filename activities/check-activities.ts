import type { Client } from '@temporalio/client';
import type { Check } from '../model/check.ts';
import type { CheckAnswer, CheckInput } from '../model/doctor.ts';
import type { Source } from '../model/pipeline.ts';
import { nodeQueue } from '../model/task-queue.ts';
import type { Activities } from './contract.ts';
import type { VerbContext } from './engine.ts';
import { engineOf } from './engines.ts';
import { isPolled } from './pollers.ts';
import { checkPruneCredentials, checkRepository } from './repository-checks.ts';
import { checkUniverse } from './universe/check.ts';
import { checkHistory } from './universe/in-cluster/check.ts';
import { checkNeighboursOf } from './universe/neighbours.ts';
import { asActivity } from './verb-context.ts';
import { workerIdentity } from './worker-identity.ts';

/** A source that doesn't answer within this time is one that a check calls wrong. */
const LOOKS_AT_MOST_MS = 60_000;

/** What `holdfast doctor` asks the workers of a plan. */
export function checkActivities(client: Client): Pick<Activities, 'check'> {
  return { check: (input) => asActivity((verb) => answer(verb, input, client)) };
}

async function answer(verb: VerbContext, input: CheckInput, client: Client): Promise<CheckAnswer> {
  const worker = workerIdentity();
  const { duty, repository, source, history, answered } = input;
  if (answered === worker.identity) return { worker, checks: [], agents: [] };
  if (duty === 'prune') return { worker, checks: [await checkPruneCredentials(repository)], agents: [] };
  const agents: string[] = [];
  const agentOf = async (address: string): Promise<boolean> => {
    const isThere = await isPolled(client, nodeQueue(address), 'activities');
    if (isThere) agents.push(address);
    return isThere;
  };
  const ofSource = await checkSource(verb, source, { history, agentOf });
  if (duty === 'read-points') {
    const checks = ofSource.map(({ name, ...rest }) => ({
      name: `where read points are held: ${name}`,
      ...rest,
    }));
    return { worker, checks, agents: [] };
  }
  return { worker, checks: [...(await checkRepository(repository)), ...ofSource], agents };
}

export interface SourceCheckOptions {
  /** The universe keeps history for the plan. */
  readonly history: boolean;
  /** Whether an agent polls for a tablet server; undefined where that can't be known. */
  readonly agentOf: (address: string) => Promise<boolean | undefined>;
}

/** What a backup needs of its source, from this process. Ends within a minute, whatever the source does. */
export async function checkSource(
  verb: VerbContext,
  source: Source,
  { history, agentOf }: SourceCheckOptions,
): Promise<readonly Check[]> {
  const bounded = {
    ...verb,
    signal: AbortSignal.any([verb.signal, AbortSignal.timeout(LOOKS_AT_MOST_MS)]),
  };
  if (source.engine !== 'universe') return engineOf(source).check(bounded, source);
  const checks = [
    ...(await checkUniverse(bounded, source, agentOf)),
    ...(await checkNeighboursOf(bounded, source)),
  ];
  return history ? [...checks, await checkHistory(bounded, source)] : checks;
}
