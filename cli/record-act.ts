import { hostname, userInfo } from 'node:os';
import type { Act } from '../model/audit.ts';
import { HoldfastError } from '../model/errors.ts';
import type { RepositorySpec } from '../model/pipeline.ts';
import { HERE } from './here.ts';
import { say, UsageError } from './output.ts';

/** Who runs this command: a person on a machine, or a job of continuous integration with the person that it names. */
export function personHere(environment: NodeJS.ProcessEnv = process.env): string {
  if (environment.GITHUB_ACTIONS === 'true') {
    return `${environment.GITHUB_ACTOR} by GitHub Actions (${environment.GITHUB_REPOSITORY}, run ${environment.GITHUB_RUN_ID})`;
  }
  if (environment.GITLAB_CI === 'true') {
    return `${environment.GITLAB_USER_LOGIN} by GitLab CI (${environment.CI_PROJECT_PATH}, job ${environment.CI_JOB_ID})`;
  }
  return `${userInfo().username}@${hostname()}`;
}

/** Checks a reason. Throws `UsageError` where it is empty or longer than 500 characters. */
export function checkReason(reason: string | undefined): void {
  if (reason === undefined || (reason.trim() !== '' && reason.length <= 500)) return;
  throw new UsageError('--reason is no text of 1 to 500 characters', 'Say why in a sentence.');
}

/**
 * Records in a plan's repository what this command did. Where that can't be written (no credentials here, no right, no key that signs), the command goes
 * on and says so. A repository that holds nothing yet has no log.
 */
export async function recordHere(
  plan: string,
  repository: RepositorySpec,
  act: Omit<Act, 'by'>,
): Promise<void> {
  const { withStore } = await import('../library/backups.ts');
  const { recordAct } = await import('../repository/audit.ts');
  const { findRepository } = await import('../repository/repository.ts');
  try {
    await withStore(HERE, repository, async (store) => {
      if ((await findRepository(store)) === undefined) {
        say(`The repository of plan ${plan} holds nothing yet, so this is not in its log.`);
      } else await recordAct(store, plan, { ...act, by: personHere() });
    });
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    say(`warning: this is not in the log of plan ${plan}: ${error.message}`);
  }
}
