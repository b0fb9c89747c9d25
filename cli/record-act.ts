import type { Act } from '../model/audit.ts';
import { HoldfastError } from '../model/errors.ts';
import type { RepositorySpec } from '../model/pipeline.ts';
import type { Store } from '../repository/store.ts';
import { personHere } from '../worker/person.ts';
import { HERE } from './here.ts';
import { say, UsageError } from './output.ts';

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
  by = personHere(),
): Promise<void> {
  const { withStore } = await import('../library/backups.ts');
  await orWarn(plan, () => withStore(HERE, repository, (store) => record(store, plan, { ...act, by })));
}

/** As `recordHere`, where the repository is open already. */
export async function recordIn(store: Store, plan: string, act: Omit<Act, 'by'>): Promise<void> {
  await orWarn(plan, () => record(store, plan, { ...act, by: personHere() }));
}

async function record(store: Store, plan: string, act: Act): Promise<void> {
  const { recordAct } = await import('../repository/audit.ts');
  const { findRepository } = await import('../repository/repository.ts');
  if ((await findRepository(store)) === undefined) {
    say(`The repository of plan ${plan} holds nothing yet, so this is not in its log.`);
  } else await recordAct(store, plan, act);
}

async function orWarn(plan: string, recorded: () => Promise<void>): Promise<void> {
  try {
    await recorded();
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    say(`warning: this is not in the log of plan ${plan}: ${error.message}`);
  }
}
