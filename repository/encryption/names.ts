import { createHmac, hkdfSync } from 'node:crypto';
import { OBJECTS_FOLDER } from '../layout.ts';

/*
 * Names of objects hold hashes of their contents. Somebody who lists a repository and guesses contents could confirm the guess by such a hash.
 * So the hashes in stored names are encrypted: a run of 12, 16 or 64 hex digits becomes another of the same length, by a keyed permutation
 * (a Feistel network of ten rounds whose round function is HMAC-SHA-256). It is a permutation, so that a listing can be read back; and
 * equal contents keep one name.
 */

const ROUNDS = 10;
const HASH = /(?<![0-9A-Za-z])(?:[0-9a-f]{64}|[0-9a-f]{16}|[0-9a-f]{12})(?![0-9A-Za-z])/g;
/** `objects/<2 hex>/`: the folder is the beginning of the name. */
const SHARED_OBJECT = new RegExp(
  `^${OBJECTS_FOLDER}[0-9a-f]{2}/(?=([0-9a-f]{2})[0-9a-f]{62}(?![0-9A-Za-z]))`,
);

export class StoredNames {
  readonly #key: Uint8Array;

  /** @param metadataSecret the secret of the metadata key */
  constructor(metadataSecret: Uint8Array) {
    this.#key = new Uint8Array(hkdfSync('sha256', metadataSecret, '', 'holdfast-2 names', 32));
  }

  /** The key under which the store keeps an object. */
  toStored(key: string): string {
    return withFolder(key.replace(HASH, (hash) => this.#permuted(hash, true)));
  }

  /** The key of an object that the store keeps under `stored`. */
  fromStored(stored: string): string {
    return withFolder(stored.replace(HASH, (hash) => this.#permuted(hash, false)));
  }

  /** The longest prefix of stored keys that every key which starts with `prefix` has. */
  storedPrefix(prefix: string): string {
    if (prefix.startsWith(OBJECTS_FOLDER)) return OBJECTS_FOLDER;
    // A hash may begin in the prefix and end behind it, or be a whole one by accident.
    return this.toStored(prefix.replace(/[0-9A-Za-z]+$/, ''));
  }

  #permuted(hash: string, forwards: boolean): string {
    const bytes = Buffer.from(hash, 'hex');
    let left: Uint8Array = bytes.subarray(0, bytes.length / 2);
    let right: Uint8Array = bytes.subarray(bytes.length / 2);
    for (let step = 0; step < ROUNDS; step++) {
      if (forwards) [left, right] = [right, this.#mixed(left, right, step)];
      else [left, right] = [this.#mixed(right, left, ROUNDS - 1 - step), left];
    }
    return Buffer.concat([left, right]).toString('hex');
  }

  /** `half`, each bit turned or not as the round and the other half have it. */
  #mixed(half: Uint8Array, other: Uint8Array, round: number): Uint8Array {
    const mask = createHmac('sha256', this.#key)
      .update(Buffer.from([round, other.length]))
      .update(other)
      .digest();
    return half.map((byte, index) => byte ^ (mask[index] ?? 0));
  }
}

function withFolder(key: string): string {
  return key.replace(SHARED_OBJECT, (_, folder: string) => `${OBJECTS_FOLDER}${folder}/`);
}
