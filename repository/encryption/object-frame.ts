import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync } from 'node:crypto';
import type { Cancellable } from '../store.ts';
import {
  type ChunkSpan,
  openChunks,
  openedStreamBytes,
  sealedStreamBytes,
  sealStream,
  TAG_BYTES,
} from './stream.ts';

/*
 * What a stored object of an encrypted repository is made of (docs/repository-format.md, "Encrypted objects"):
 *
 *     header   64   magic 8, id of the key 16, salt 32, size of the contents 8 (big-endian)
 *     STREAM        of the contents, under a key derived from the key, the salt, the repository's id and the object's name
 *     trailer 112   salt 32, sums 64 + 16: SHA-256 of the contents and of header and STREAM, sealed under the metadata key
 *
 * The salt is derived from the key, the name and the contents: the same contents under the same name give the same bytes (M4), and no two contents
 * share a key. With the trailer, the metadata key alone is enough to find out which contents an object has, and whether it is whole.
 */

const MAGIC = Buffer.from('HLDFAST2');
export const HEADER_BYTES = 64;
export const TRAILER_BYTES = 112;
const KEY_ID_BYTES = 16;
const SALT_BYTES = 32;
const SUMS_BYTES = 64;

/** A secret of 32 bytes, with the id by which objects refer to it. */
export interface NamedKey {
  /** 32 hex digits. */
  readonly id: string;
  readonly secret: Uint8Array;
}

/** Where an object belongs. It doesn't open under another name or in another repository. */
export interface ObjectPlace {
  readonly repositoryId: string;
  /** The object's key as Holdfast names it. */
  readonly name: string;
}

/** The header of a stored object. */
export interface ObjectHeader {
  readonly keyId: string;
  readonly salt: Uint8Array;
  /** Size of the contents. */
  readonly sizeBytes: number;
}

/** Size of the stored object for contents of this size. */
export function storedBytes(sizeBytes: number): number {
  return HEADER_BYTES + sealedStreamBytes(sizeBytes) + TRAILER_BYTES;
}

/** Size of the contents of a stored object of this size. Undefined where no object has that size. */
export function contentBytes(stored: number): number | undefined {
  const sealed = stored - HEADER_BYTES - TRAILER_BYTES;
  return sealed < TAG_BYTES ? undefined : openedStreamBytes(sealed);
}

/** Encrypts contents. Returns the stored bytes of the object, and their SHA-256 (hex). @param sha256 hex, of `body` */
export async function sealObject(
  keys: { readonly body: NamedKey; readonly metadata: NamedKey },
  place: ObjectPlace,
  body: Uint8Array,
  sha256: string,
  options: Cancellable = {},
): Promise<{ readonly stored: Uint8Array; readonly sha256: string }> {
  const contentSum = Buffer.from(sha256, 'hex');
  const saltKey = derived(keys.body.secret, new Uint8Array(), 'holdfast-2 salt', place);
  const salt = createHmac('sha256', saltKey).update(contentSum).digest();
  const stored = Buffer.allocUnsafe(storedBytes(body.length));
  MAGIC.copy(stored, 0);
  stored.write(keys.body.id, MAGIC.length, 'hex');
  salt.copy(stored, MAGIC.length + KEY_ID_BYTES);
  stored.writeBigUInt64BE(BigInt(body.length), HEADER_BYTES - 8);
  const trailerAt = stored.length - TRAILER_BYTES;
  const stream = stored.subarray(HEADER_BYTES, trailerAt);
  await sealStream(bodyKey(keys.body, salt, place), body, stream, options);

  const hash = createHash('sha256').update(stored.subarray(0, trailerAt));
  const sums = Buffer.concat([contentSum, hash.copy().digest()]);
  const trailer = Buffer.concat([salt, sealSums(keys.metadata, salt, place, sums)]);
  trailer.copy(stored, trailerAt);
  return { stored, sha256: hash.update(trailer).digest('hex') };
}

/** The header at the beginning of `stored`; undefined where there is none. */
export function readHeader(stored: Uint8Array): ObjectHeader | undefined {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  const saltAt = MAGIC.length + KEY_ID_BYTES;
  const sizeBytes = Number(bytes.readBigUInt64BE(HEADER_BYTES - 8));
  if (!Number.isSafeInteger(sizeBytes)) return undefined;
  return {
    keyId: bytes.toString('hex', MAGIC.length, saltAt),
    salt: Uint8Array.from(bytes.subarray(saltAt, saltAt + SALT_BYTES)),
    sizeBytes,
  };
}

/** What the metadata key reveals of an object without opening it. Both are SHA-256 in hex. */
interface ObjectSums {
  readonly contents: string;
  /** SHA-256 of header and STREAM. */
  readonly sealed: string;
}

/** Opens a trailer. Undefined where it was not written for this place. */
export function openTrailer(
  metadata: NamedKey,
  place: ObjectPlace,
  trailer: Uint8Array,
): ObjectSums | undefined {
  if (trailer.length !== TRAILER_BYTES) return undefined;
  const salt = trailer.subarray(0, SALT_BYTES);
  const decipher = createDecipheriv('chacha20-poly1305', sumsKey(metadata, salt, place), Buffer.alloc(12), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAuthTag(trailer.subarray(SALT_BYTES + SUMS_BYTES));
  const sums = decipher.update(trailer.subarray(SALT_BYTES, SALT_BYTES + SUMS_BYTES));
  try {
    decipher.final();
  } catch {
    // Node throws a plain error if the tag is wrong, and has no other way to report it.
    return undefined;
  }
  return { contents: sums.toString('hex', 0, 32), sealed: sums.toString('hex', 32) };
}

/** Opens the chunks of a span into `into`. Returns false where they are not what was sealed at this place with this key. */
export function openSpan(
  key: NamedKey,
  place: ObjectPlace,
  { salt, sizeBytes }: ObjectHeader,
  { firstChunk }: Pick<ChunkSpan, 'firstChunk'>,
  sealed: Uint8Array,
  into: Uint8Array,
  options: Cancellable = {},
): Promise<boolean> {
  return openChunks(bodyKey(key, salt, place), sealed, { sizeBytes, firstChunk }, into, options);
}

function sealSums(metadata: NamedKey, salt: Uint8Array, place: ObjectPlace, sums: Uint8Array): Uint8Array {
  // Each salt has its own key, and each key seals one message, so the nonce may be constant.
  const cipher = createCipheriv('chacha20-poly1305', sumsKey(metadata, salt, place), Buffer.alloc(12), {
    authTagLength: TAG_BYTES,
  });
  return Buffer.concat([cipher.update(sums), cipher.final(), cipher.getAuthTag()]);
}

function bodyKey({ secret }: NamedKey, salt: Uint8Array, place: ObjectPlace): Uint8Array {
  return derived(secret, salt, 'holdfast-2 body', place);
}

function sumsKey({ secret }: NamedKey, salt: Uint8Array, place: ObjectPlace): Uint8Array {
  return derived(secret, salt, 'holdfast-2 sums', place);
}

/** HKDF with SHA-256 (RFC 5869). */
function derived(
  secret: Uint8Array,
  salt: Uint8Array,
  purpose: string,
  { repositoryId, name }: ObjectPlace,
): Uint8Array {
  // These parts can't run together: the id is a UUID, and no name has a line break.
  return new Uint8Array(hkdfSync('sha256', secret, salt, `${purpose}\n${repositoryId}\n${name}`, 32));
}
