import { defined } from '../model/defined.ts';
import type { RepositorySpec } from '../model/pipeline.ts';
import { AzureStore } from './azure/store.ts';
import type { SecretResolver } from './connection.ts';
import { DirectoryStore } from './directory/store.ts';
import { ClearStore } from './encryption/clear-store.ts';
import { EncryptedStore } from './encryption/encrypted-store.ts';
import { GcsStore } from './gcs/store.ts';
import { S3Store } from './s3/store.ts';
import { Signing } from './signing/signing.ts';
import type { Store } from './store.ts';

/**
 * Opens the repository at a place, without touching it yet. Close it after use. The first call compares what the plan says of encryption with what the
 * repository says of itself, and throws `REPOSITORY_IS_CLEAR` or `REPOSITORY_IS_ENCRYPTED` (permanent) where they differ.
 *
 * @param secret reads the credentials and identities that the plan refers to, as far as this worker has them
 */
export async function openStore(repository: RepositorySpec, secret: SecretResolver): Promise<Store> {
  const { encryption } = repository;
  return encryption === undefined
    ? new ClearStore(await openPlace(repository, secret), signingOf(repository, secret))
    : openEncrypted({ ...repository, encryption }, secret);
}

/** Opens an encrypted repository for callers that ask about its keys. */
export async function openEncrypted(
  repository: RepositorySpec & Required<Pick<RepositorySpec, 'encryption'>>,
  secret: SecretResolver,
): Promise<EncryptedStore> {
  const raw = await openPlace(repository, secret);
  return new EncryptedStore(raw, repository.encryption, secret, signingOf(repository, secret));
}

/** The signing settings of a repository. Undefined where the plan has none. */
export function signingOf({ name, signing }: RepositorySpec, secret: SecretResolver): Signing | undefined {
  return signing === undefined ? undefined : new Signing(signing, secret, `the repository ${name}`);
}

/** Opens the store itself, without its door: for callers that make the door. */
export async function openPlace({ location }: RepositorySpec, secret: SecretResolver): Promise<Store> {
  switch (location.kind) {
    case 'directory':
      return new DirectoryStore(location.path, defined({ groupAccess: location.groupAccess }));
    case 'azure':
      return AzureStore.open(location, secret);
    case 'gcs':
      return GcsStore.open(location, secret);
    case 's3':
      return S3Store.open(location, secret);
  }
}
