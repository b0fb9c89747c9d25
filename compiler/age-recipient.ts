import { bech32 } from '@scure/base';
import { quoted, type Reading, refused } from './diagnostic.ts';

const REMEDY =
  'Write the line `Public key:` that `age-keygen` printed, which begins with `age1` and has 62 characters.';

/**
 * Reads an X25519 recipient of age (https://c2sp.org/age, "The X25519 recipient type"): Bech32 of 32 bytes with the prefix `age`. Its checksum reveals
 * a mistyped recipient, which otherwise nobody would notice until somebody wants to restore.
 */
export function readAgeRecipient(text: string): Reading<string> {
  if (/^AGE-SECRET-KEY-/i.test(text.trim())) {
    return refused(
      'SECRET_IN_PLAIN_TEXT',
      'An identity of age stands here in plain text, and only its recipient belongs here',
      `${REMEDY} Then make a new identity: this one stands in this file and its history.`,
    );
  }
  if (/^age1(?:pq|tag|[a-z0-9]+1)/.test(text) && !/^age1[02-9ac-hj-np-z]{58}$/.test(text)) {
    return refused(
      'BAD_RECIPIENT',
      `${quoted(text)} is a recipient of a kind that is not supported: post-quantum, or of a plugin`,
      REMEDY,
    );
  }
  const decoded = bech32.decodeUnsafe(text, 90);
  const bytes = decoded === undefined ? undefined : bech32.fromWordsUnsafe(decoded.words);
  if (decoded?.prefix === 'age' && bytes instanceof Uint8Array && bytes.length === 32) return { value: text };
  return refused('BAD_RECIPIENT', `${quoted(text)} is not a recipient of age`, REMEDY);
}
