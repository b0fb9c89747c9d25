import type { Store } from '../store.ts';
import { distrusted, type SignatureState } from './errors.ts';
import { namespaceOf } from './signing.ts';
import { checkSignature } from './ssh-signature.ts';

/*
 * A zstd object has its signature in a last frame, of the kind that every reader of zstd skips (RFC 8878, section 3.1.2). That frame has the armored
 * signature of all bytes before it, and ends with its own length in four bytes, little-endian, by which it is found from the end.
 */

const SKIPPABLE_MAGIC = 0x184d2a5f;
const FRAME_HEADER_BYTES = 8;
const LENGTH_BYTES = 4;

/**
 * Frames of zstd, signed where the plan says that the store is signed. Throws as `Signing.sign`.
 *
 * @param name the object's key; if the key contains the object's own hash, the key without that
 */
export async function signFrames(store: Store, name: string, frames: Uint8Array): Promise<Uint8Array> {
  if (store.signing === undefined) return frames;
  const signature = Buffer.from(await store.signing.sign(namespaceOf(name), frames));
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUInt32LE(SKIPPABLE_MAGIC, 0);
  header.writeUInt32LE(signature.length + LENGTH_BYTES, 4);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(FRAME_HEADER_BYTES + signature.length + LENGTH_BYTES);
  return Buffer.concat([frames, header, signature, length]);
}

/**
 * The frames without their signature. Where the plan says that the repository is signed, a trusted key must have signed them. Throws (permanent)
 * `SIGNATURE_MISSING`, `SIGNATURE_FOREIGN`, `SIGNATURE_FORGED`.
 *
 * @param name as in `signFrames`
 */
export function openFrames(store: Store, name: string, key: string, object: Uint8Array): Uint8Array {
  const parts = partsOf(object);
  if (store.signing === undefined) return parts?.frames ?? object;
  const found = stateOf(store.signing.trusted, name, parts);
  if (found.state === 'trusted') return parts?.frames ?? object;
  throw distrusted(
    `${key} in ${store.description}`,
    found,
    'Find out who can write there. What was written before the plan had `signing` can be read with --trust-unsigned, this once.',
  );
}

interface Parts {
  readonly frames: Uint8Array;
  readonly signature: string;
}

function stateOf(
  trusted: ReadonlyMap<string, unknown>,
  name: string,
  parts: Parts | undefined,
): SignatureState {
  if (parts === undefined) return { state: 'unsigned' };
  const check = checkSignature(parts.signature, namespaceOf(name), parts.frames);
  if (!check.isValid) return { state: 'forged', reason: check.reason };
  const { fingerprint: signer } = check.signer;
  return { state: trusted.has(signer) ? 'trusted' : 'foreign', signer };
}

/** The frames and their signature. Undefined where the last frame is not a signature. */
function partsOf(object: Uint8Array): Parts | undefined {
  const bytes = Buffer.from(object.buffer, object.byteOffset, object.byteLength);
  if (bytes.length < FRAME_HEADER_BYTES + LENGTH_BYTES) return undefined;
  const frameBytes = bytes.readUInt32LE(bytes.length - LENGTH_BYTES);
  const start = bytes.length - frameBytes;
  if (start < 0 || frameBytes < FRAME_HEADER_BYTES + LENGTH_BYTES) return undefined;
  const isSignature =
    bytes.readUInt32LE(start) === SKIPPABLE_MAGIC &&
    bytes.readUInt32LE(start + 4) === frameBytes - FRAME_HEADER_BYTES;
  if (!isSignature) return undefined;
  return {
    frames: bytes.subarray(0, start),
    signature: bytes.toString('utf8', start + FRAME_HEADER_BYTES, bytes.length - LENGTH_BYTES),
  };
}
