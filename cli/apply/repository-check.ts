import { withStore } from '../../library/backups.ts';
import type { PlanEntityView } from '../../library/plan-entities.ts';
import { HoldfastError, messageOf, permanent } from '../../model/errors.ts';
import type { CompiledPlan, RepositorySpec } from '../../model/pipeline.ts';
import { findRepository } from '../../repository/repository.ts';
import { HERE } from '../here.ts';
import { say } from '../output.ts';

/**
 * Throws `ANOTHER_REPOSITORY` (permanent) if the repository of an applied plan has vanished from its place or another one is there: a
 * mount is missing, or a bucket was made anew. If the repository can't be read from here, this prints a warning, and the entity checks
 * it.
 */
export async function checkRepository(plan: CompiledPlan, entity: PlanEntityView): Promise<void> {
  const { repository } = plan.pipeline;
  const expected = entity.status.repositoryId ?? undefined;
  if (expected === undefined || !isSamePlace(repository, entity.revision.plan.pipeline.repository)) return;
  const found = await idOf(plan.name, repository);
  if (found === 'unknown' || found === expected) return;
  throw permanent(
    'ANOTHER_REPOSITORY',
    found === undefined
      ? `plan ${plan.name}: the repository ${expected} has vanished from its place`
      : `plan ${plan.name}: the repository is another one: its id is ${found}, and was ${expected}`,
    'Check bucket, prefix or mount; the backups of before are not there. Where that is meant, apply with --new-repository.',
  );
}

async function idOf(plan: string, repository: RepositorySpec): Promise<string | 'unknown' | undefined> {
  try {
    return await withStore(HERE, repository, async (store) => (await findRepository(store))?.id);
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    say(
      `warning: plan ${plan}: that its repository is still the same can't be seen from here: ${messageOf(error)}`,
    );
    return 'unknown';
  }
}

function isSamePlace(one: RepositorySpec, other: RepositorySpec): boolean {
  return JSON.stringify(one.location) === JSON.stringify(other.location);
}
