import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { Cancellable } from '../store.ts';

/*
 * STREAM, as in age (https://c2sp.org/age, "Payload"): ChaCha20-Poly1305 in chunks of 64 KiB, each with a tag of 16 bytes. A chunk's
 * nonce is its number (11 bytes, big-endian) and a byte that is 1 only for the last chunk, so chunks can't be left out, added or
 * exchanged. Each chunk can be opened by itself. Only empty contents have an empty chunk.
 */

export const CHUNK_BYTES = 64 * 1024;
export const TAG_BYTES = 16;
const SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES;
/** Chunks between two pauses in which the process can do other work: about 10 ms. */
const CHUNKS_AT_ONCE = 64;

const CIPHER = 'chacha20-poly1305';
const CIPHER_OPTIONS = { authTagLength: TAG_BYTES } as const;

/** Size of the STREAM for contents of this size. */
export function sealedStreamBytes(sizeBytes: number): number {
  return sizeBytes + chunksOf(sizeBytes) * TAG_BYTES;
}

/** Size of the contents of a STREAM of this size. Undefined where no STREAM has that size. */
export function openedStreamBytes(sealedBytes: number): number | undefined {
  const sizeBytes = sealedBytes - Math.ceil(sealedBytes / SEALED_CHUNK_BYTES) * TAG_BYTES;
  return sizeBytes >= 0 && sealedStreamBytes(sizeBytes) === sealedBytes ? sizeBytes : undefined;
}

/** Number of chunks for contents of this size. */
export function chunksOf(sizeBytes: number): number {
  return Math.max(1, Math.ceil(sizeBytes / CHUNK_BYTES));
}

/** Writes the STREAM of `body` into `into`, which has `sealedStreamBytes(body.length)` bytes. A key must seal only one body. */
export async function sealStream(
  key: Uint8Array,
  body: Uint8Array,
  into: Uint8Array,
  options: Cancellable = {},
): Promise<void> {
  const chunks = chunksOf(body.length);
  for (let chunk = 0; chunk < chunks; chunk++) {
    const cipher = createCipheriv(CIPHER, key, nonceOf(chunk, chunk === chunks - 1), CIPHER_OPTIONS);
    const at = chunk * SEALED_CHUNK_BYTES;
    const text = body.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
    into.set(cipher.update(text), at);
    cipher.final();
    into.set(cipher.getAuthTag(), at + text.length);
    await breathe(chunk, options);
  }
}

/** The chunks of a STREAM that contain the bytes `start` to `end` (exclusive) of its contents. */
export interface ChunkSpan {
  readonly firstChunk: number;
  /** Offsets into the STREAM, `end` exclusive. */
  readonly sealed: { readonly start: number; readonly end: number };
  /** Offset of the first chunk's first byte in the contents. */
  readonly offset: number;
  /** Bytes of contents in all these chunks together. */
  readonly contentBytes: number;
}

/** The chunks for a range of contents. @param start below `end`, which is at most `sizeBytes` */
export function chunkSpan(sizeBytes: number, start: number, end: number): ChunkSpan {
  const firstChunk = Math.floor(start / CHUNK_BYTES);
  const lastChunk = Math.floor((end - 1) / CHUNK_BYTES);
  return {
    firstChunk,
    offset: firstChunk * CHUNK_BYTES,
    contentBytes: Math.min((lastChunk + 1) * CHUNK_BYTES, sizeBytes) - firstChunk * CHUNK_BYTES,
    sealed: {
      start: firstChunk * SEALED_CHUNK_BYTES,
      end: Math.min((lastChunk + 1) * SEALED_CHUNK_BYTES, sealedStreamBytes(sizeBytes)),
    },
  };
}

/**
 * Opens whole chunks, from `firstChunk` on, of a STREAM whose contents have `sizeBytes`, and writes their text into `into`. Returns
 * false where one of them is not what was sealed with this key at this place.
 */
export async function openChunks(
  key: Uint8Array,
  sealed: Uint8Array,
  place: { readonly sizeBytes: number; readonly firstChunk: number },
  into: Uint8Array,
  options: Cancellable = {},
): Promise<boolean> {
  const last = chunksOf(place.sizeBytes) - 1;
  let written = 0;
  for (let at = 0, chunk = place.firstChunk; at < sealed.length; at += SEALED_CHUNK_BYTES, chunk++) {
    const end = Math.min(at + SEALED_CHUNK_BYTES, sealed.length);
    if (end - at < TAG_BYTES) return false;
    const decipher = createDecipheriv(CIPHER, key, nonceOf(chunk, chunk === last), CIPHER_OPTIONS);
    decipher.setAuthTag(sealed.subarray(end - TAG_BYTES, end));
    const text = decipher.update(sealed.subarray(at, end - TAG_BYTES));
    if (!isAuthentic(decipher) || written + text.length > into.length) return false;
    into.set(text, written);
    written += text.length;
    await breathe(chunk, options);
  }
  return written === into.length;
}

/** Whether a tag fits its text. Node reports that it doesn't only by a plain exception. */
function isAuthentic(decipher: { final(): Uint8Array }): boolean {
  try {
    decipher.final();
    return true;
  } catch {
    return false;
  }
}

function nonceOf(chunk: number, isLast: boolean): Uint8Array {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(chunk, 5, 6);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}

/** Lets heartbeats and other slots run during a long piece of work. */
async function breathe(chunk: number, { signal }: Cancellable): Promise<void> {
  if (chunk % CHUNKS_AT_ONCE !== CHUNKS_AT_ONCE - 1) return;
  await new Promise((resolve) => setImmediate(resolve));
  signal?.throwIfAborted();
}
