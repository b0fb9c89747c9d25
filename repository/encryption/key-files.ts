import { randomBytes } from 'node:crypto';
import { messageOf, permanent } from '../../model/errors.ts';
import { KEYS_FOLDER } from '../layout.ts';
import { damaged } from '../store-errors.ts';
import { BAD_IDENTITY, wrongIdentity } from './errors.ts';
import type { NamedKey } from './object-frame.ts';

/*
 * A key file is an ordinary age file, `keys/<id>.age`, whose text is one line: `holdfast-key-1 <what> <id> <64 hex digits>`. Every age program
 * opens it: `age -d -i identity.txt keys/<id>.age`.
 */

const LINE = /^holdfast-key-1 (metadata|data) ([0-9a-f]{32}) ([0-9a-f]{64})\n$/;
const KEY_FILE = /^keys\/([0-9a-f]{32})\.age$/;

export type KeyPurpose = 'metadata' | 'data';

/** A key whose file was opened, or that this process made. */
export interface OpenKey extends NamedKey {
  readonly purpose: KeyPurpose;
}

/** An identity of age, and its recipient. */
export interface Identity {
  /** `AGE-SECRET-KEY-1…`; never shown. */
  readonly secret: string;
  /** `age1…` */
  readonly recipient: string;
}

/** The name of a key file. */
export function keyFileName(id: string): string {
  return `${KEYS_FOLDER}${id}.age`;
}

/** The id of the key in a key file, by its name. Undefined for any other name. */
export function keyIdOf(name: string): string | undefined {
  return KEY_FILE.exec(name)?.[1];
}

/** Makes a random key. It is stored nowhere yet. */
export function newKey(purpose: KeyPurpose): OpenKey {
  return { purpose, id: randomBytes(16).toString('hex'), secret: randomBytes(32) };
}

/** Encodes a key as an age file. @param recipients `age1…`; each of them can open it */
export async function encodeKeyFile(key: OpenKey, recipients: readonly string[]): Promise<Uint8Array> {
  const { Encrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  for (const recipient of new Set(recipients)) encrypter.addRecipient(recipient);
  return encrypter.encrypt(
    `holdfast-key-1 ${key.purpose} ${key.id} ${Buffer.from(key.secret).toString('hex')}\n`,
  );
}

/** An opened key file, and who opened it. */
export interface OpenedKeyFile {
  readonly key: OpenKey;
  /** The recipient whose identity opened it. */
  readonly by: string;
}

/**
 * Opens a key file. Throws (permanent) `ENCRYPTION_WRONG_IDENTITY` where it is encrypted to none of the identities, `STORE_DAMAGED` where it
 * is not a key file or belongs to another key.
 */
export async function decodeKeyFile(
  file: Uint8Array,
  id: string,
  identities: readonly Identity[],
  repository: string,
): Promise<OpenedKeyFile> {
  const name = keyFileName(id);
  const { Decrypter } = await import('age-encryption');
  for (const { secret, recipient } of identities) {
    const decrypter = new Decrypter();
    decrypter.addIdentity(secret);
    let text: string;
    try {
      text = await decrypter.decrypt(file, 'text');
    } catch (error) {
      // The library words "another recipient" like this. Any other error means that the file is damaged.
      if (messageOf(error).includes('no identity matched')) continue;
      throw damaged(name, repository, `it is no whole age file (${messageOf(error)})`);
    }
    const [, purpose, found, hex] = LINE.exec(text) ?? [];
    if (found !== id || hex === undefined || (purpose !== 'metadata' && purpose !== 'data')) {
      throw damaged(name, repository, 'it does not hold the key that it is named after');
    }
    return { key: { purpose, id, secret: Buffer.from(hex, 'hex') }, by: recipient };
  }
  throw wrongIdentity(
    name,
    repository,
    identities.map(({ recipient }) => recipient),
  );
}

/**
 * The identities in an identity file, as `age-keygen` writes it: lines `AGE-SECRET-KEY-1…` and comments. Throws `ENCRYPTION_BAD_IDENTITY`
 * (permanent), whose message never shows the text. @param where names the file in messages
 */
export async function readIdentities(text: string, where: string): Promise<readonly Identity[]> {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const { identityToRecipient } = await import('age-encryption');
  const identities: Identity[] = [];
  for (const [index, secret] of lines.entries()) {
    try {
      if (!secret.startsWith('AGE-SECRET-KEY-1')) throw badIdentity(where, index);
      identities.push({ secret, recipient: await identityToRecipient(secret) });
    } catch {
      // The library's message could show the secret.
      throw badIdentity(where, index);
    }
  }
  if (identities.length === 0) throw badIdentity(where, 0);
  return identities;
}

function badIdentity(where: string, index: number): Error {
  return permanent(
    BAD_IDENTITY,
    `${where} holds no identity of age: its entry ${index + 1} is no AGE-SECRET-KEY-1…`,
    'Make one by `age-keygen -o FILE`. Identities of plugins, SSH keys and passphrases are not supported.',
  );
}
