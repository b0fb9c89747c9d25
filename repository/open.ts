import { defined } from '../model/defined.ts';
import type { RepositorySpec } from '../model/pipeline.ts';
import { DirectoryStore } from './directory/store.ts';
import { ClearStore } from './encryption/clear-store.ts';
import { EncryptedStore } from './encryption/encrypted-store.ts';
import type { SecretResolver } from './s3/client.ts';
import { S3Store } from './s3/store.ts';
import { Signing } from './signing/signing.ts';
import type { Store } from './store.ts';

/**
 * Opens the repository at a place without touching it yet; close it after use. What the plan says of encryption and what the repository says of itself are
 * compared at the first call: `REPOSITORY_IS_CLEAR` and `REPOSITORY_IS_ENCRYPTED` (permanent) where they differ.
 *
 * @param secret reads the credentials and identities that the plan refers to, where this worker has them.
 */
export async function openStore(repository: RepositorySpec, secret: SecretResolver): Promise<Store> {
  const { encryption } = repository;
  return encryption === undefined
    ? new ClearStore(await openPlace(repository, secret), signingOf(repository, secret))
    : openEncrypted({ ...repository, encryption }, secret);
}

/** An encrypted repository, for what asks about its keys. */
export async function openEncrypted(
  repository: RepositorySpec & Required<Pick<RepositorySpec, 'encryption'>>,
  secret: SecretResolver,
): Promise<EncryptedStore> {
  const raw = await openPlace(repository, secret);
  return new EncryptedStore(raw, repository.encryption, secret, signingOf(repository, secret));
}

/** Absent where the plan says nothing of signatures. */
export function signingOf({ name, signing }: RepositorySpec, secret: SecretResolver): Signing | undefined {
  return signing === undefined ? undefined : new Signing(signing, secret, `the repository ${name}`);
}

/** The store itself, without its door: for what makes the door. */
export async function openPlace({ location }: RepositorySpec, secret: SecretResolver): Promise<Store> {
  switch (location.kind) {
    case 'directory':
      return new DirectoryStore(location.path, defined({ groupAccess: location.groupAccess }));
    case 's3':
      return S3Store.open(location, secret);
  }
}
