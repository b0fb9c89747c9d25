import { type HoldfastError, permanent } from '../model/errors.ts';

/** The directory store's own folder at its root. No object has a key in it. */
export const TEMPORARY_FOLDER = '.holdfast-tmp';

/** S3 allows 1,024 bytes for a whole key, the prefix included; a file name allows 255. */
const MAX_KEY_BYTES = 800;
const MAX_PART_BYTES = 255;

/**
 * Refuses a key that one of the stores can't hold or that would lead out of the store's root: empty parts, `.`, `..`, a
 * backslash, control characters (XML can't carry them), unpaired surrogates, too long. Throws `STORE_BAD_KEY` (permanent).
 */
export function checkKey(key: string): void {
  const reason = refusal(key);
  if (reason !== undefined) throw badKey(key, reason);
}

/**
 * True for a key that an object can have. What other programs put beside a repository's objects may have names that no object has: S3 browsers and mounts
 * mark a folder by an object whose key ends with a slash. Listings leave it out.
 */
export function isKey(key: string): boolean {
  return refusal(key) === undefined;
}

/** Refuses a prefix that could lead out of the root. A prefix may be empty, end with `/`, or end within a part. */
export function checkPrefix(prefix: string): void {
  checkKey(`${prefix}x`);
}

/** What stands before every key of a repository in a bucket: a plan's `prefix` with one slash at its end; empty for the whole bucket. */
export function rootOf(prefix: string): string {
  const parts = prefix.split('/').filter((part) => part !== '');
  return parts.map((part) => `${part}/`).join('');
}

/** One part of a key, such as a plan's name. Throws `STORE_BAD_KEY` where it has a slash or `checkKey` refuses it. */
export function checkedPart(part: string): string {
  if (part.includes('/')) throw badKey(part, 'it has a slash');
  checkKey(part);
  return part;
}

function badKey(key: string, reason: string): HoldfastError {
  return permanent(
    'STORE_BAD_KEY',
    `The key ${JSON.stringify(key)} can't name an object: ${reason}.`,
    'Use parts of letters, digits and punctuation, separated by single slashes.',
  );
}

function refusal(key: string): string | undefined {
  if (/[\u0000-\u001f\u007f\\]/.test(key)) return 'it has a control character or a backslash';
  if (!key.isWellFormed()) return 'it is not well-formed Unicode';
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) return `it is longer than ${MAX_KEY_BYTES} bytes`;
  const parts = key.split('/');
  for (const part of parts) {
    if (part === '') return 'it has an empty part';
    if (part === '.' || part === '..') return `it has the part "${part}"`;
    if (Buffer.byteLength(part) > MAX_PART_BYTES) return `a part is longer than ${MAX_PART_BYTES} bytes`;
  }
  return parts[0] === TEMPORARY_FOLDER ? `"${TEMPORARY_FOLDER}" is the store's own` : undefined;
}
