import type { Check } from '../../model/check.ts';
import type { UniverseSource } from '../../model/pipeline.ts';
import type { CheckOptions, VerbContext } from '../engine.ts';
import { checkUniverse } from './check.ts';
import { checkHistory } from './in-cluster/check.ts';
import { checkNeighboursOf } from './neighbours.ts';

const UNKNOWN: CheckOptions = { history: false, agentsOf: async () => undefined };

/** Checks what a backup of the universe needs and who else uses the universe, and its own history if the plan has it keep one. */
export async function checkSource(
  verb: VerbContext,
  source: UniverseSource,
  { history, agentsOf }: CheckOptions = UNKNOWN,
): Promise<readonly Check[]> {
  const checks = [
    ...(await checkUniverse(verb, source, agentsOf)),
    ...(await checkNeighboursOf(verb, source)),
  ];
  return history ? [...checks, await checkHistory(verb, source)] : checks;
}
