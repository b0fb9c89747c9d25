import { type Check, check } from '../model/check.ts';
import type { RepositorySpec } from '../model/pipeline.ts';
import { lastOpened } from '../repository/encryption/check-keys.ts';
import { openEncrypted } from '../repository/open.ts';
import { findRepository } from '../repository/repository.ts';
import { resolveSecret } from './resolve-secret.ts';

/** Checks what this process can do in an encrypted repository with the identities it has. Returns nothing for a clear repository. */
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
    // Reading this needs the metadata key, so the check fails on a worker that can't open that key.
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
