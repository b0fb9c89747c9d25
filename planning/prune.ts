import { defined } from '../model/defined.ts';
import type { CompiledPlan, RepositorySpec } from '../model/pipeline.ts';
import type { PruneInput } from '../model/prune.ts';

/** What a prune of the plan is told: its policy, and the repository by the credentials that may delete. */
export function pruneInputOf(plan: CompiledPlan): PruneInput {
  return {
    plan: plan.name,
    repository: repositoryForPruning(plan.pipeline.repository),
    ...defined({ retention: plan.retention }),
  };
}

/**
 * When a plan is pruned by itself; undefined where it has no retention. A plan that names no time gets one at night of its
 * own, so that not all of them begin in the same minute.
 */
export function pruneTimesOf(
  plan: CompiledPlan,
): { readonly cron: readonly string[]; readonly timezone: string } | undefined {
  const { retention } = plan;
  if (retention === undefined) return undefined;
  return { cron: retention.cron ?? [nightly(plan.name)], timezone: retention.timezone ?? 'UTC' };
}

function nightly(name: string): string {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 60;
  return `${sum} 4 * * *`;
}

/** Whether prunes have credentials that backups have not; then they run on a queue of their own. */
export function hasOwnCredentials({ location }: RepositorySpec): boolean {
  return location.kind === 's3' && location.pruneCredentials !== undefined;
}

/** By the credentials that may delete. */
export function repositoryForPruning(repository: RepositorySpec): RepositorySpec {
  const { location } = repository;
  if (location.kind !== 's3' || location.pruneCredentials === undefined) return repository;
  return { ...repository, location: { ...location, credentials: location.pruneCredentials } };
}
