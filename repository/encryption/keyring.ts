import { recover } from '../../model/errors.ts';
import type { EncryptionSpec, SecretRef } from '../../model/source.ts';
import type { SecretResolver } from '../connection.ts';
import { sha256Hex } from '../sha256.ts';
import type { Cancellable, Store } from '../store.ts';
import { damaged, ifThere } from '../store-errors.ts';
import { noIdentity } from './errors.ts';
import {
  decodeKeyFile,
  encodeKeyFile,
  type Identity,
  keyFileName,
  newKey,
  type OpenedKeyFile,
  type OpenKey,
  readIdentities,
} from './key-files.ts';

/** How long a process writes with one data key. A thief of its memory can read only what was written with that key. */
const DATA_KEY_MS = 30 * 24 * 3_600_000;
/** How often it is checked that the key file still exists: by one conditional put, which writes the file again if it is missing. */
const KEY_FILE_CHECK_MS = 600_000;

/** Which identities of the Repository to try on a key file, in this order. */
type IdentityName = 'identity' | 'metadataIdentity';

/**
 * The keys of one repository, as far as this process can open them.
 *
 * A process that writes makes its own data key in memory, encrypts it to the recipients, and stores that file before the first object that needs it. It
 * never has to open the file, so it needs no identity. The key disappears with the process.
 */
export class Keyring {
  readonly #raw: Store;
  readonly #spec: EncryptionSpec;
  readonly #secret: SecretResolver;
  readonly #opened = new Map<string, Promise<OpenedKeyFile>>();
  #writing: Promise<WritingKey> | undefined;

  constructor(raw: Store, spec: EncryptionSpec, secret: SecretResolver) {
    this.#raw = raw;
    this.#spec = spec;
    this.#secret = secret;
  }

  /** The metadata key. Throws as `open`. */
  async metadata(id: string): Promise<OpenKey> {
    return (await this.open(id, ['metadataIdentity', 'identity'])).key;
  }

  /** A data key, to read with. Throws as `open`. */
  async data(id: string): Promise<OpenKey> {
    return (await this.open(id, ['identity'])).key;
  }

  /**
   * Opens a key file, once. Throws (permanent) `ENCRYPTION_NO_IDENTITY`, `ENCRYPTION_WRONG_IDENTITY`, `ENCRYPTION_BAD_IDENTITY`; `STORE_DAMAGED` where the
   * key file is gone or damaged: everything encrypted with it is then lost.
   */
  async open(id: string, by: readonly IdentityName[]): Promise<OpenedKeyFile> {
    const known = this.#opened.get(id);
    if (known !== undefined) return known;
    const opening = this.#open(id, by);
    this.#opened.set(id, opening);
    opening.catch(() => this.#opened.delete(id));
    return opening;
  }

  /** The data key to write with. When this returns, its key file is in the repository. */
  async writingKey(): Promise<OpenKey> {
    const known = this.#writing;
    const current = await known;
    const now = Date.now();
    const isFresh = current !== undefined && now < current.madeAtMs + DATA_KEY_MS;
    if (isFresh && now < current.storedAtMs + KEY_FILE_CHECK_MS) return current.key;
    // If several slots come at once, the first one makes the key for all.
    if (this.#writing === known) {
      const writing = this.#store(isFresh ? current : undefined);
      this.#writing = writing;
      writing.catch(() => {
        if (this.#writing === writing) this.#writing = undefined;
      });
    }
    return this.writingKey();
  }

  /**
   * Makes the metadata key of a new repository and stores its file. Throws if this worker could not open it, or if this worker lacks the metadata identity
   * that the plan names: the workers that have that identity could not open it either.
   */
  async makeMetadataKey(options: Cancellable = {}): Promise<OpenKey> {
    const key = newKey('metadata');
    await this.put(key, await this.recipientsOf('metadata'), options);
    return this.metadata(key.id);
  }

  /**
   * The recipients of keys for this purpose, by the present plan. Throws `ENCRYPTION_NO_IDENTITY` (permanent) for the metadata key if this worker lacks the
   * metadata identity that the plan names: a key file without it would lock out every worker that has only that identity.
   */
  async recipientsOf(purpose: OpenKey['purpose']): Promise<readonly string[]> {
    const { recipients } = this.#spec;
    if (purpose === 'data') return recipients;
    const { identities, missing } = await this.identities(['metadataIdentity']);
    if (this.#spec.metadataIdentity !== undefined && missing.length > 0) {
      throw noIdentity('the metadata', this.#raw.description, missing);
    }
    return [...new Set([...recipients, ...identities.map(({ recipient }) => recipient)])];
  }

  /** Stores a key file. @param replace true: an existing file is replaced */
  async put(
    key: OpenKey,
    recipients: readonly string[],
    options: Cancellable & { readonly replace?: boolean } = {},
  ): Promise<void> {
    const { replace = false, ...cancellable } = options;
    const body = await encodeKeyFile(key, recipients);
    await this.#raw.put(keyFileName(key.id), body, {
      sha256: sha256Hex(body),
      ifAbsent: !replace,
      ...cancellable,
    });
  }

  /** The identities that this worker has, and why it lacks the others. */
  async identities(
    which: readonly IdentityName[],
  ): Promise<{ readonly identities: readonly Identity[]; readonly missing: readonly string[] }> {
    const identities: Identity[] = [];
    const missing: string[] = [];
    for (const name of which) {
      const reference = this.#spec[name];
      const text = reference === undefined ? undefined : await this.#textOf(reference);
      if (reference === undefined) missing.push(`the Repository has no \`${name}\``);
      else if (text === undefined) missing.push(`\`${name}\` (${inWords(reference)}) is not on this worker`);
      else identities.push(...(await readIdentities(text, inWords(reference))));
    }
    return { identities, missing };
  }

  async #open(id: string, by: readonly IdentityName[]): Promise<OpenedKeyFile> {
    const { identities, missing } = await this.identities(by);
    const { description } = this.#raw;
    if (identities.length === 0) throw noIdentity(keyFileName(id), description, missing);
    return decodeKeyFile(await this.#read(id), id, identities, description);
  }

  async #read(id: string): Promise<Uint8Array> {
    const file = keyFileName(id);
    const bytes = await ifThere(this.#raw.get(file));
    if (bytes !== undefined) return bytes;
    throw damaged(file, this.#raw.description, 'it is gone, and what was encrypted with it is lost');
  }

  async #store(current: WritingKey | undefined): Promise<WritingKey> {
    const key = current?.key ?? newKey('data');
    const storedAtMs = Date.now();
    await this.put(key, await this.recipientsOf('data'));
    // This process can read what it wrote as long as it lives.
    this.#opened.set(key.id, Promise.resolve({ key, by: 'the process that made it' }));
    return { key, madeAtMs: current?.madeAtMs ?? storedAtMs, storedAtMs };
  }

  async #textOf(reference: SecretRef): Promise<string | undefined> {
    return await recover(this.#secret(reference), 'SECRET_MISSING', () => undefined);
  }
}

interface WritingKey {
  readonly key: OpenKey;
  readonly madeAtMs: number;
  readonly storedAtMs: number;
}

function inWords(reference: SecretRef): string {
  return 'env' in reference ? `the variable ${reference.env}` : reference.file;
}
