import { type Cipheriv, createCipheriv, hkdfSync } from 'node:crypto';
import { OBJECTS_FOLDER } from '../layout.ts';

/*
 * Names of objects contain hashes of their contents. Somebody who can list a repository could guess contents and confirm the guess by the hash. So
 * the hashes in stored names are encrypted: a keyed permutation turns a run of 12, 16 or 64 hex digits into another of the same length (a Feistel
 * network of ten rounds). As a permutation it can be undone for a listing, and equal contents keep one name. The round function is CBC-MAC by AES-256
 * over two blocks, the first with the round and the length. HMAC takes 37 µs a round, which would have cost a listing of 10^5 names half a minute.
 */

const ROUNDS = 10;
const BLOCK_BYTES = 16;
const HASH = /(?<![0-9A-Za-z])(?:[0-9a-f]{64}|[0-9a-f]{16}|[0-9a-f]{12})(?![0-9A-Za-z])/g;
/** `objects/<2 hex>/`: the folder is the beginning of the name. */
const SHARED_OBJECT = new RegExp(
  `^${OBJECTS_FOLDER}[0-9a-f]{2}/(?=([0-9a-f]{2})[0-9a-f]{62}(?![0-9A-Za-z]))`,
);

/** Translates between keys of objects and the names that an encrypted repository stores. */
export class StoredNames {
  readonly #aes: Cipheriv;
  /** The first block of the round function, encrypted, by the bytes of a half and by round. */
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

  /** The longest prefix that the stored names of all keys starting with `prefix` have in common. */
  storedPrefix(prefix: string): string {
    if (prefix.startsWith(OBJECTS_FOLDER)) return OBJECTS_FOLDER;
    // The last run of characters may be the beginning of a hash, or look like a whole one by accident, so it is left out.
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

  /** `half`, combined by XOR with a mask that depends on the round and the other half. */
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
