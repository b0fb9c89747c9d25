import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { permanent } from '../../model/errors.ts';
import { Fields, lengthed, type PublicKey, publicKeyFrom, publicKeyLine, uint32 } from './ssh-signature.ts';

/*
 * Key files of OpenSSH (PROTOCOL.key), Ed25519 and without a passphrase: `ssh-keygen -t ed25519 -N '' -f FILE` makes them too.
 */

const MAGIC = 'openssh-key-v1\0';
const BEGIN = '-----BEGIN OPENSSH PRIVATE KEY-----';
const END = '-----END OPENSSH PRIVATE KEY-----';
const KEY_TYPE = 'ssh-ed25519';
const SEED_BYTES = 32;
const BLOCK_BYTES = 8;
const LINE_CHARACTERS = 70;
/** RFC 8410: the bytes before the 32 bytes of an Ed25519 private key in DER. */
const DER_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

/** What a process signs with. */
export interface SigningKey {
  readonly secret: KeyObject;
  readonly public: PublicKey;
}

/** Makes a key: the text of its file, and the line that names it in a plan. */
export function newSigningKey(comment: string): { readonly file: string; readonly publicLine: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-SEED_BYTES);
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-SEED_BYTES);
  const known = publicKeyFrom(raw);
  const check = randomBytes(4);
  const fields = Buffer.concat([
    check,
    check,
    lengthed(KEY_TYPE),
    lengthed(raw),
    lengthed(Buffer.concat([seed, raw])),
    lengthed(comment),
  ]);
  const padding = Buffer.from(
    Array.from({ length: (BLOCK_BYTES - (fields.length % BLOCK_BYTES)) % BLOCK_BYTES }, (_, at) => at + 1),
  );
  const blob = Buffer.concat([
    Buffer.from(MAGIC),
    lengthed('none'),
    lengthed('none'),
    lengthed(''),
    uint32(1),
    lengthed(known.blob),
    lengthed(Buffer.concat([fields, padding])),
  ]);
  const lines = blob.toString('base64').match(new RegExp(`.{1,${LINE_CHARACTERS}}`, 'g')) ?? [];
  return { file: `${[BEGIN, ...lines, END].join('\n')}\n`, publicLine: `${publicKeyLine(known)} ${comment}` };
}

/** The key in a key file. Throws `SIGNING_BAD_KEY` (permanent), whose message never shows the text. @param where names the file in messages */
export function readSigningKey(text: string, where: string): SigningKey {
  const trimmed = text.trim();
  if (!trimmed.startsWith(BEGIN) || !trimmed.endsWith(END))
    throw badKey(where, 'it is no key file of OpenSSH');
  const blob = Buffer.from(trimmed.slice(BEGIN.length, -END.length), 'base64');
  if (blob.toString('latin1', 0, MAGIC.length) !== MAGIC) throw badKey(where, 'it is damaged');
  const outer = new Fields(blob.subarray(MAGIC.length));
  const cipher = outer.text();
  if (cipher !== 'none') throw badKey(where, 'it has a passphrase, which a worker can’t type');
  outer.bytes();
  outer.bytes();
  const count = outer.number();
  outer.bytes();
  const inner = new Fields(outer.bytes() ?? Buffer.alloc(0));
  const check = inner.number();
  const isWhole = check !== undefined && check === inner.number();
  const type = inner.text();
  inner.bytes();
  const pair = inner.bytes();
  if (count !== 1 || !isWhole || type !== KEY_TYPE || pair?.length !== 2 * SEED_BYTES) {
    throw badKey(where, `it does not hold one key of type ${KEY_TYPE}`);
  }
  const secret = createPrivateKey({
    key: Buffer.concat([DER_PREFIX, pair.subarray(0, SEED_BYTES)]),
    format: 'der',
    type: 'pkcs8',
  });
  return { secret, public: publicKeyFrom(pair.subarray(SEED_BYTES)) };
}

function badKey(where: string, reason: string): Error {
  return permanent(
    'SIGNING_BAD_KEY',
    `The signing key ${where} can’t be used: ${reason}.`,
    'Make one by `holdfast keys signing FILE`, or by `ssh-keygen -t ed25519 -N "" -f FILE`.',
  );
}
