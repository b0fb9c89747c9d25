import { type HoldfastError, permanent } from '../../model/errors.ts';

/* Codes of errors for a worker that can't open an encrypted repository. None of them means that a backup is bad. */

/** This worker has no identity, so it doesn't know what an identity would open. */
export const NO_IDENTITY = 'ENCRYPTION_NO_IDENTITY';
/** This worker has identities, and none of them opens this key file. */
export const WRONG_IDENTITY = 'ENCRYPTION_WRONG_IDENTITY';
export const BAD_IDENTITY = 'ENCRYPTION_BAD_IDENTITY';

/** The error where this worker has no identity to open something with. */
export function noIdentity(what: string, repository: string, reasons: readonly string[]): HoldfastError {
  return permanent(
    NO_IDENTITY,
    `This worker has no identity that could open ${what} of ${repository}: ${reasons.join('; ')}`,
    'Run this where the identity is, or put it on this worker (docs/encryption.md says who needs which).',
  );
}

/** The error where none of this worker's identities opens a key file. */
export function wrongIdentity(
  file: string,
  repository: string,
  identities: readonly string[],
): HoldfastError {
  return permanent(
    WRONG_IDENTITY,
    `${file} of ${repository} was not encrypted to any identity of this worker (${identities.join(', ')})`,
    'Use the identity of one of its recipients. Who has one can add others: holdfast keys rewrap PLAN.',
  );
}

/** The plan says that the repository is encrypted, and the repository there is clear. */
export function repositoryIsClear(repository: string): HoldfastError {
  return permanent(
    'REPOSITORY_IS_CLEAR',
    `The plan says that the repository in ${repository} is encrypted, and the one that is there is clear (format 1).`,
    'Give the encrypted repository another prefix or directory, where the next backup makes it, and keep the clear one until its backups are not needed any more; or take `encryption` out of the Repository.',
  );
}

/** The repository is encrypted, and the plan doesn't say so. */
export function repositoryIsEncrypted(repository: string): HoldfastError {
  return permanent(
    'REPOSITORY_IS_ENCRYPTED',
    `The repository in ${repository} is encrypted, and the plan has no \`encryption\` for it.`,
    'Add `encryption` with the recipients to its Repository (docs/encryption.md), or use another prefix or directory.',
  );
}

/** The error where an encrypted repository has no `repository.json`. */
export function noRepository(repository: string, what: string): HoldfastError {
  return permanent(
    'REPOSITORY_NOT_FOUND',
    `Can't ${what}: ${repository} has no repository.json, which says with which key its names are encrypted.`,
    'Put repository.json back from a copy or an older version of it; or correct the location in the plan file.',
  );
}
