import { base64 } from '@scure/base';
import { quoted, type Reading, refused } from './diagnostic.ts';

const REMEDY =
  'Write the line that `holdfast keys signing` printed, or the one in the `.pub` file of `ssh-keygen -t ed25519`: `ssh-ed25519 AAAA… name`.';
const TYPE = 'ssh-ed25519';
/** Length of both fields with their lengths (RFC 8709, section 4): 4 + 11 + 4 + 32. */
const BLOB_BYTES = 51;

/** Reads an Ed25519 public key as OpenSSH writes it; a comment may follow. */
export function readPublicKey(text: string): Reading<string> {
  const [type = '', encoded = ''] = text.trim().split(/\s+/);
  if (type !== TYPE) {
    return refused('BAD_PUBLIC_KEY', `${quoted(text)} is no public key of type ${TYPE}`, REMEDY);
  }
  const blob = decoded(encoded);
  const name = String.fromCharCode(...(blob?.subarray(4, 4 + TYPE.length) ?? []));
  if (blob?.length === BLOB_BYTES && name === TYPE) return { value: text.trim() };
  return refused('BAD_PUBLIC_KEY', `${quoted(text)} is not a whole public key`, REMEDY);
}

function decoded(encoded: string): Uint8Array | undefined {
  try {
    return base64.decode(encoded);
  } catch {
    return undefined;
  }
}
