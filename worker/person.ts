import { hostname, userInfo } from 'node:os';

/**
 * Who runs this process: a person on a machine, or a job of continuous integration with the person that it names. Clients give Temporal this name, and the
 * log of a plan has it. It proves nothing by itself.
 */
export function personHere(
  environment: NodeJS.ProcessEnv = process.env,
  account: () => { readonly username: string } = userInfo,
): string {
  if (environment.GITHUB_ACTIONS === 'true') {
    return `${environment.GITHUB_ACTOR} by GitHub Actions (${environment.GITHUB_REPOSITORY}, run ${environment.GITHUB_RUN_ID})`;
  }
  if (environment.GITLAB_CI === 'true') {
    return `${environment.GITLAB_USER_LOGIN} by GitLab CI (${environment.CI_PROJECT_PATH}, job ${environment.CI_JOB_ID})`;
  }
  return `${nameOf(account)}@${hostname()}`;
}

/** Containers often run under a number that no account has. */
function nameOf(account: () => { readonly username: string }): string {
  try {
    return account().username;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_SYSTEM_ERROR')
      return `uid-${process.getuid?.()}`;
    throw error;
  }
}
