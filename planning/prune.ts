import { defined } from '../model/defined.ts';
import type { CompiledPlan, RepositorySpec } from '../model/pipeline.ts';
import type { PruneInput } from '../model/prune.ts';
import { audienceOf } from './notification.ts';

/** The input of a prune of the plan: its retention, and the repository with the credentials that may delete. */
export function pruneInputOf(plan: CompiledPlan): PruneInput {
  return {
    plan: plan.name,
    repository: repositoryForPruning(plan.pipeline.repository),
    ...defined({
      retention: plan.retention,
      archiveRetentionMs: plan.pointTime?.archive?.retentionMs,
      historyMs: plan.pointTime?.offCluster?.retentionMs,
    }),
    ...audienceOf(plan),
  };
}

/**
 * When prunes of a plan start by themselves. Undefined where the plan limits neither its backups nor its history or archive. A plan without times of its own
 * gets a minute at night that depends on its name, so that plans don't all begin in the same minute.
 */
export function pruneTimesOf(
  plan: CompiledPlan,
): { readonly cron: readonly string[]; readonly timezone: string } | undefined {
  const { retention, pointTime } = plan;
  const isKept = pointTime?.offCluster !== undefined || pointTime?.archive !== undefined;
  if (retention === undefined && !isKept) return undefined;
  return { cron: retention?.cron ?? [nightly(plan.name)], timezone: retention?.timezone ?? 'UTC' };
}

function nightly(name: string): string {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 60;
  return `${sum} 4 * * *`;
}

/** Whether prunes have credentials of their own. They then run on a task queue of their own. */
export function hasOwnCredentials({ location }: RepositorySpec): boolean {
  return 'pruneCredentials' in location && location.pruneCredentials !== undefined;
}

/** The repository with the credentials that may delete. */
export function repositoryForPruning(repository: RepositorySpec): RepositorySpec {
  const { location } = repository;
  if (location.kind === 's3' && location.pruneCredentials !== undefined)
    return { ...repository, location: { ...location, credentials: location.pruneCredentials } };
  if (location.kind === 'azure' && location.pruneCredentials !== undefined)
    return { ...repository, location: { ...location, credentials: location.pruneCredentials } };
  return repository;
}
