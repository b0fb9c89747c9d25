import { HoldfastError, permanent, recover } from '../model/errors.ts';

/** Codes that both stores throw. Other codes are defined where they arise. */
export const STORE_NOT_FOUND = 'STORE_NOT_FOUND';
export const STORE_DAMAGED = 'STORE_DAMAGED';

/** The error for an object that does not exist. */
export function notFound(key: string, description: string, cause?: unknown): HoldfastError {
  return permanent(
    STORE_NOT_FOUND,
    `There is no object ${key} in ${description}.`,
    'Check that the backup is complete with `holdfast verify`; if the object is gone, restore from another backup.',
    cause,
  );
}

/** The error for an object whose bytes are wrong. @param difference what is wrong, a clause */
export function damaged(key: string, description: string, difference: string): HoldfastError {
  return permanent(
    STORE_DAMAGED,
    `The object ${key} in ${description} is damaged: ${difference}.`,
    'Restore from another backup or a copy, and have the storage checked.',
  );
}

/** True where an object is known to be missing or changed. False where the store could not be asked. */
export function isDamage(error: unknown): boolean {
  return error instanceof HoldfastError && (error.code === STORE_NOT_FOUND || error.code === STORE_DAMAGED);
}

/** What was read. Undefined where the object doesn't exist. Rejects with any other error of `reading`. */
export async function ifThere<T>(reading: Promise<T>): Promise<T | undefined> {
  return await recover(reading, STORE_NOT_FOUND, () => undefined);
}

/** What was read. Undefined where the object is missing or changed. Rejects with any other error of `reading`. */
export async function ifWhole<T>(reading: Promise<T>): Promise<T | undefined> {
  return await recover(reading, isDamage, () => undefined);
}

/** Code for an object that the store keeps locked, by the plan's own lock or by the bucket's default retention. */
export const STORE_LOCKED = 'STORE_LOCKED';

/** True where a delete is refused for now or for these credentials. The object then stays, and a prune may delete it later. */
export function staysForPrune(error: unknown): boolean {
  return error instanceof HoldfastError && (error.code === 'STORE_DENIED' || error.code === STORE_LOCKED);
}

/** The error for locked objects. @param until when the lock of the first one ends, if the store says */
export function stillLocked(
  keys: readonly string[],
  until: Date | undefined,
  description: string,
): HoldfastError {
  const [first = ''] = keys;
  const others = keys.length === 1 ? '' : ` and ${keys.length - 1} others`;
  const end =
    until === undefined ? 'for as long as its default retention says' : `until ${until.toISOString()}`;
  return permanent(
    STORE_LOCKED,
    `${first}${others} in ${description} can't be deleted yet: the store keeps ${first} locked ${end}.`,
    'Nothing is wrong, and no permission is missing: a prune after that time deletes it.',
  );
}

/** The error of a caller whose hash doesn't belong to its bytes. */
export function checksumMismatch(key: string, description: string, cause?: unknown): HoldfastError {
  return permanent(
    'STORE_CHECKSUM_MISMATCH',
    `The bytes for ${key} in ${description} don't have the SHA-256 that was announced with them; nothing was stored.`,
    'Run the backup again; if it happens again, have the memory of this machine tested.',
    cause,
  );
}

/**
 * How the size of an answer alone shows that it is not what was asked for, for a message: then nothing of it is read, so that a huge object in the place of a
 * small one doesn't take all memory. Undefined where the size is right, or not known.
 */
export function differenceInSize(
  sizeBytes: number | undefined,
  { expect, mostBytes }: { readonly expect?: { readonly sizeBytes: number }; readonly mostBytes?: number },
): string | undefined {
  if (sizeBytes === undefined) return undefined;
  if (expect !== undefined && sizeBytes !== expect.sizeBytes) {
    return `it has ${sizeBytes} bytes instead of ${expect.sizeBytes}`;
  }
  if (mostBytes === undefined || sizeBytes <= mostBytes) return undefined;
  return `it has ${sizeBytes} bytes, and at most ${mostBytes} were expected`;
}

/** How bytes differ from what was expected, for a message. Undefined when they don't. */
export function differenceOf(
  actual: { readonly sizeBytes: number; readonly sha256: string | undefined },
  expected: { readonly sizeBytes: number; readonly sha256: string },
): string | undefined {
  if (actual.sizeBytes !== expected.sizeBytes) {
    return `it has ${actual.sizeBytes} bytes instead of ${expected.sizeBytes}`;
  }
  if (actual.sha256 !== undefined && actual.sha256 !== expected.sha256) {
    return `its SHA-256 is ${actual.sha256} instead of ${expected.sha256}`;
  }
  return undefined;
}

/** The error for a listing that says that it goes on, and not from where, or from where it has just been: it would never end. */
export function listingGoesNowhere(description: string): HoldfastError {
  return permanent(
    'STORE_UNSUPPORTED',
    `A listing of ${description} says that it goes on, and not from where: it would never end.`,
    'Check that the endpoint is one of the kind that the plan says (S3, Google Cloud Storage, Azure), and that its listings have continuation tokens.',
  );
}
