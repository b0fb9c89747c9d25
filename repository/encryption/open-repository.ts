import { type HoldfastError, permanent } from '../../model/errors.ts';
import type { RepositoryIdentity } from '../identity.ts';
import { damaged } from '../store-errors.ts';
import type { OpenKey } from './key-files.ts';
import type { StoredNames } from './names.ts';
import type { ObjectPlace } from './object-frame.ts';

/** What `repository.json` of an encrypted repository says. */
export type EncryptedIdentity = RepositoryIdentity & Required<Pick<RepositoryIdentity, 'encryption'>>;

/** An encrypted repository whose metadata key is open. */
export interface OpenRepository {
  readonly id: string;
  readonly metadata: OpenKey;
  readonly names: StoredNames;
}

/** Whether a repository was opened by what this document says. */
export function isOpenedBy({ id, encryption }: RepositoryIdentity, repository: OpenRepository): boolean {
  return id === repository.id && encryption?.metadataKey === repository.metadata.id;
}

/** Where an object belongs, by its name. */
export function placeOf({ id }: OpenRepository, name: string): ObjectPlace {
  return { repositoryId: id, name };
}

/** The error for an object in the clear, or of another format. */
export function notEncrypted(key: string, description: string): HoldfastError {
  return damaged(key, description, 'it is not an encrypted object, as every object here must be');
}

/** The error of a caller that writes or deletes what only the encryption itself may. */
export function keptByTheDoor(key: string): HoldfastError {
  return permanent(
    'STORE_BAD_KEY',
    `${key} is an object that the encryption of the repository keeps itself`,
    'Report this: it is a mistake in Holdfast.',
  );
}
