import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';

/*
 * SSH signatures with Ed25519, as `ssh-keygen -Y sign` makes them and `ssh-keygen -Y verify` checks them (OpenSSH, PROTOCOL.sshsig).
 */

const MAGIC = 'SSHSIG';
const VERSION = 1;
const KEY_TYPE = 'ssh-ed25519';
const HASH = 'sha512';
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
/** RFC 8410: the bytes before the 32 bytes of an Ed25519 public key in DER. */
const DER_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
const BEGIN = '-----BEGIN SSH SIGNATURE-----';
const END = '-----END SSH SIGNATURE-----';
const LINE_CHARACTERS = 70;

/** An Ed25519 public key. */
export interface PublicKey {
  /** As `ssh-keygen -l` prints it: `SHA256:` and 43 characters. */
  readonly fingerprint: string;
  /** The key as OpenSSH encodes it, 51 bytes. */
  readonly blob: Uint8Array;
}

/** The public key in a line such as `ssh-ed25519 AAAA… a comment`. Undefined for any other line. */
export function parsePublicKey(line: string): PublicKey | undefined {
  const [type, base64] = line.trim().split(/\s+/);
  if (type !== KEY_TYPE || base64 === undefined) return undefined;
  return publicKeyOf(Buffer.from(base64, 'base64'));
}

/** @param raw the 32 bytes of the key */
export function publicKeyFrom(raw: Uint8Array): PublicKey {
  const blob = Buffer.concat([lengthed(KEY_TYPE), lengthed(raw)]);
  return { blob, fingerprint: fingerprintOf(blob) };
}

/** `ssh-ed25519 AAAA…`, without a comment. */
export function publicKeyLine({ blob }: PublicKey): string {
  return `${KEY_TYPE} ${Buffer.from(blob).toString('base64')}`;
}

function publicKeyOf(blob: Buffer): PublicKey | undefined {
  const fields = new Fields(blob);
  const isKey = fields.text() === KEY_TYPE && fields.bytes()?.length === KEY_BYTES && fields.atEnd();
  return isKey ? { blob, fingerprint: fingerprintOf(blob) } : undefined;
}

function fingerprintOf(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/**
 * The signature of `message` in OpenSSH's armor, with a line break at the end. The same message always gives the same signature.
 *
 * @param namespace what is signed: a signature of one namespace doesn't hold in another
 */
export function signMessage(
  key: { readonly secret: KeyObject; readonly public: PublicKey },
  namespace: string,
  message: Uint8Array,
): string {
  const signature = sign(null, signedBytes(namespace, message), key.secret);
  const blob = Buffer.concat([
    Buffer.from(MAGIC),
    uint32(VERSION),
    lengthed(key.public.blob),
    lengthed(namespace),
    lengthed(''),
    lengthed(HASH),
    lengthed(Buffer.concat([lengthed(KEY_TYPE), lengthed(signature)])),
  ]);
  const lines = blob.toString('base64').match(new RegExp(`.{1,${LINE_CHARACTERS}}`, 'g')) ?? [];
  return `${[BEGIN, ...lines, END].join('\n')}\n`;
}

/** What an armored signature proves about a message. */
export type SignatureCheck =
  | { readonly isValid: true; readonly signer: PublicKey }
  /** A clause that completes "its signature …". */
  | { readonly isValid: false; readonly reason: string };

/** Whether a signature is one of this message in this namespace, and whose. The caller decides whether that signer is trusted. */
export function checkSignature(armored: string, namespace: string, message: Uint8Array): SignatureCheck {
  const fields = fieldsOf(armored);
  if (fields === undefined) return { isValid: false, reason: 'can’t be read' };
  if (fields.namespace !== namespace) {
    return { isValid: false, reason: `was made for ${JSON.stringify(fields.namespace)}` };
  }
  const { signer, signature } = fields;
  const key = createPublicKey({
    key: Buffer.concat([DER_PREFIX, signer.blob.subarray(-KEY_BYTES)]),
    format: 'der',
    type: 'spki',
  });
  return verify(null, signedBytes(namespace, message), key, signature)
    ? { isValid: true, signer }
    : { isValid: false, reason: 'is of other contents' };
}

function fieldsOf(
  armored: string,
): { readonly signer: PublicKey; readonly namespace: string; readonly signature: Uint8Array } | undefined {
  const text = armored.trim();
  if (!text.startsWith(BEGIN) || !text.endsWith(END)) return undefined;
  const blob = Buffer.from(text.slice(BEGIN.length, -END.length), 'base64');
  if (blob.toString('latin1', 0, MAGIC.length) !== MAGIC) return undefined;
  const fields = new Fields(blob.subarray(MAGIC.length));
  if (fields.number() !== VERSION) return undefined;
  const key = fields.bytes();
  const signer = key && publicKeyOf(key);
  const namespace = fields.text();
  const reserved = fields.bytes();
  const hash = fields.text();
  const inner = fields.bytes();
  if (signer === undefined || namespace === undefined || reserved === undefined || inner === undefined) {
    return undefined;
  }
  if (hash !== HASH || !fields.atEnd()) return undefined;
  const signed = new Fields(inner);
  const isOfKind = signed.text() === KEY_TYPE;
  const signature = signed.bytes();
  if (!isOfKind || signature?.length !== SIGNATURE_BYTES || !signed.atEnd()) return undefined;
  return { signer, namespace, signature };
}

function signedBytes(namespace: string, message: Uint8Array): Uint8Array {
  const digest = createHash(HASH).update(message).digest();
  return Buffer.concat([
    Buffer.from(MAGIC),
    lengthed(namespace),
    lengthed(''),
    lengthed(HASH),
    lengthed(digest),
  ]);
}

/** A field of SSH: its length as four bytes, big-endian, then its bytes. */
export function lengthed(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

/** A number as SSH writes it: four bytes, big-endian. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Reads SSH's fields one after another. A field is undefined where the bytes end too early. */
export class Fields {
  #rest: Buffer;

  constructor(bytes: Buffer) {
    this.#rest = bytes;
  }

  number(): number | undefined {
    if (this.#rest.length < 4) return undefined;
    const value = this.#rest.readUInt32BE(0);
    this.#rest = this.#rest.subarray(4);
    return value;
  }

  bytes(): Buffer | undefined {
    const length = this.number();
    if (length === undefined || this.#rest.length < length) return undefined;
    const value = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return value;
  }

  text(): string | undefined {
    return this.bytes()?.toString('utf8');
  }

  atEnd(): boolean {
    return this.#rest.length === 0;
  }

  rest(): Buffer {
    return this.#rest;
  }
}
