import { type Check, check } from '../model/check.ts';
import type { RepositorySpec } from '../model/pipeline.ts';
import { lastOpened } from '../repository/encryption/check-keys.ts';
import { openEncrypted } from '../repository/open.ts';
import { findRepository } from '../repository/repository.ts';
import { resolveSecret } from './resolve-secret.ts';

/** What this process can do in an encrypted repository with the identities that it has. A clear repository yields nothing. */
export async function checkEncryption(repository: RepositorySpec): Promise<readonly Check[]> {
  const { encryption } = repository;
  if (encryption === undefined) return [];
  return [await check('encryption', () => abilities({ ...repository, encryption }))];
}

async function abilities(
  repository: RepositorySpec & Required<Pick<RepositorySpec, 'encryption'>>,
): Promise<string> {
  const store = await openEncrypted(repository, resolveSecret);
  try {
    const { identities } = await store.keyring.identities(['identity']);
    const can =
      identities.length > 0
        ? 'this worker backs up, prunes, verifies, restores and drills'
        : 'this worker backs up, prunes and verifies checksums; without `identity` it can’t restore, drill or verify contents';
    const { recipients } = repository.encryption;
    const whom =
      recipients.length > 1
        ? `${recipients.length} recipients`
        : 'only one recipient: without its identity every backup is lost, so add a second one';
    if ((await findRepository(store)) === undefined) {
      const { identities: any, missing } = await store.keyring.identities(['metadataIdentity', 'identity']);
      const first = any.length > 0 ? 'the first backup makes the repository' : missing.join('; ');
      return `${can}; ${whom}; ${first}`;
    }
    // Needs the metadata key, so it fails where this worker can't open that.
    const [last] = await lastOpened(store);
    const opened =
      last === undefined
        ? 'no recipient was seen to open data yet: holdfast keys check'
        : `last opened by recipient ${last.recipient} on ${last.at}`;
    return `${can}; ${whom}; ${opened}`;
  } finally {
    await store.close();
  }
}
