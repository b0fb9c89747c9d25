import { type Check, check } from '../model/check.ts';
import type { RepositorySpec } from '../model/pipeline.ts';
import { openStore } from '../repository/open.ts';
import { ensureRepository, findRepository } from '../repository/repository.ts';
import type { Signing } from '../repository/signing/signing.ts';
import { resolveSecret } from './resolve-secret.ts';

/** Checks whether restores ask for signatures, and whether this process can sign. */
export async function checkSigning(repository: RepositorySpec): Promise<Check> {
  return check('signatures', () => look(repository));
}

async function look(repository: RepositorySpec): Promise<string> {
  const store = await openStore(repository, resolveSecret);
  try {
    const { signing } = store;
    if (signing === undefined) {
      return 'not asked for: whoever can write into the repository decides what a restore or a drill runs (docs/signing.md)';
    }
    // repository.json must be signed too. If there is none yet, this check makes none.
    if ((await findRepository(store)) !== undefined) await ensureRepository(store);
    return `${await abilityOf(signing, repository)}; trusted: ${[...signing.trusted.keys()].join(', ')}`;
  } finally {
    await store.close();
  }
}

async function abilityOf(signing: Signing, { signing: spec }: RepositorySpec): Promise<string> {
  if (spec?.key === undefined) {
    return 'this worker restores, drills and verifies; without `signing.key` it can’t back up or prune';
  }
  return `this worker signs by ${(await signing.key()).public.fingerprint}`;
}
