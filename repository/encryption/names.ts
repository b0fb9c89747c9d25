import { type Cipheriv, createCipheriv, hkdfSync } from 'node:crypto';
import { OBJECTS_FOLDER } from '../layout.ts';

/*
 * Names of objects hold hashes of their contents. Somebody who lists a repository and guesses contents could confirm the guess by such a hash.
 * So the hashes in stored names are encrypted: a run of 12, 16 or 64 hex digits becomes another of the same length, by a keyed permutation
 * (a Feistel network of ten rounds). It is a permutation, so that a listing can be read back; and equal contents keep one name. The round function is
 * CBC-MAC by AES-256 of two blocks, the first being the round and the length: HMAC, at 37 µs a round, would have cost a listing of 10^5 names
 * half a minute.
 */

const ROUNDS = 10;
const BLOCK_BYTES = 16;
const HASH = /(?<![0-9A-Za-z])(?:[0-9a-f]{64}|[0-9a-f]{16}|[0-9a-f]{12})(?![0-9A-Za-z])/g;
/** `objects/<2 hex>/`: the folder is the beginning of the name. */
const SHARED_OBJECT = new RegExp(
  `^${OBJECTS_FOLDER}[0-9a-f]{2}/(?=([0-9a-f]{2})[0-9a-f]{62}(?![0-9A-Za-z]))`,
);

export class StoredNames {
  readonly #aes: Cipheriv;
  /** The first block of the round function, encrypted; by bytes of a half and round. */
  readonly #firstBlocks = new Map<number, readonly Uint8Array[]>();

  /** @param metadataSecret the secret of the metadata key */
  constructor(metadataSecret: Uint8Array) {
    const key = new Uint8Array(hkdfSync('sha256', metadataSecret, '', 'holdfast-2 names', 32));
    this.#aes = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
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
    const block = Uint8Array.from(this.#firstBlock(other.length, round));
    for (const [index, byte] of other.entries()) block[index] = (block[index] ?? 0) ^ byte;
    const mask = this.#aes.update(block);
    return half.map((byte, index) => byte ^ (mask[index] ?? 0));
  }

  #firstBlock(bytes: number, round: number): Uint8Array {
    let blocks = this.#firstBlocks.get(bytes);
    if (blocks === undefined) {
      blocks = Array.from({ length: ROUNDS }, (_, each) => {
        const block = Buffer.alloc(BLOCK_BYTES);
        block.set([each, bytes]);
        return this.#aes.update(block);
      });
      this.#firstBlocks.set(bytes, blocks);
    }
    const block = blocks[round];
    if (block === undefined) throw new RangeError(`there is no round ${round}`);
    return block;
  }
}

function withFolder(key: string): string {
  return key.replace(SHARED_OBJECT, (_, folder: string) => `${OBJECTS_FOLDER}${folder}/`);
}
