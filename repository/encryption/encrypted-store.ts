import { defined } from '../../model/defined.ts';
import type { EncryptionSpec } from '../../model/source.ts';
import type { SecretResolver } from '../connection.ts';
import type { RepositoryIdentity } from '../identity.ts';
import { checkKey } from '../key.ts';
import { isSignature, KEYS_FOLDER, namesItsContents, REPOSITORY_KEY } from '../layout.ts';
import { findRepository, parseRepository } from '../repository.ts';
import { sha256Hex } from '../sha256.ts';
import { requireTrusted } from '../signing/signed-object.ts';
import type { Signing } from '../signing/signing.ts';
import type {
  Cancellable,
  GetOptions,
  HeadOptions,
  ListedObject,
  PutOptions,
  Store,
  StoredObject,
  StoreLocks,
} from '../store.ts';
import { checksumMismatch, damaged, differenceOf, notFound } from '../store-errors.ts';
import { noRepository, repositoryIsClear } from './errors.ts';
import { writeInstructions } from './instructions.ts';
import { Keyring } from './keyring.ts';
import { StoredNames } from './names.ts';
import { classOf, isKeptByTheDoor } from './object-class.ts';
import { contentBytes, sealObject } from './object-frame.ts';
import { ObjectReader } from './object-reader.ts';
import {
  type EncryptedIdentity,
  isOpenedBy,
  keptByTheDoor,
  type OpenRepository,
  placeOf,
} from './open-repository.ts';

/** A size that no object has. A stored object that is too short gets it, and so differs from every expected size. */
const NO_SIZE = -1;

/**
 * The only door to an encrypted repository. It encrypts everything that is written, names included, and decrypts and authenticates everything that
 * is read. Callers see only the contents: every key, size and SHA-256 in a call is that of the contents, and conditional puts and listings work as
 * without encryption. So nothing else in Holdfast knows of encryption.
 *
 * It fails closed: what it can't encrypt it doesn't write. It refuses a store whose `repository.json` says that it is clear. Without a
 * `repository.json` it lists nothing and deletes nothing, since it can't read names.
 *
 * Besides what a store throws (all permanent): `ENCRYPTION_NO_IDENTITY`, `ENCRYPTION_WRONG_IDENTITY`, `ENCRYPTION_BAD_IDENTITY` where this process
 * can't open what it is asked for; `REPOSITORY_IS_CLEAR`; `REPOSITORY_NOT_FOUND`; and on a put, where the plan says that the repository is signed and no trusted
 * key signed `repository.json`, what `requireTrusted` throws.
 */
export class EncryptedStore implements Store {
  readonly keyring: Keyring;
  readonly signing: Signing | undefined;
  readonly #raw: Store;
  readonly #reader: ObjectReader;
  #opened: Promise<OpenRepository> | undefined;
  /** The open repository, once a trusted key was found to have signed its document. */
  #vouched: OpenRepository | undefined;

  constructor(raw: Store, spec: EncryptionSpec, secret: SecretResolver, signing?: Signing) {
    this.#raw = raw;
    this.signing = signing;
    this.keyring = new Keyring(raw, spec, secret);
    this.#reader = new ObjectReader(raw, this.keyring);
  }

  get description(): string {
    return this.#raw.description;
  }

  get readsForChecksums(): boolean {
    return this.#raw.readsForChecksums ?? false;
  }

  get locks(): StoreLocks | undefined {
    const { locks } = this.#raw;
    if (locks === undefined) return undefined;
    return {
      forMs: locks.forMs,
      now: locks.now,
      hold: async (key, term, options = {}) => {
        checkKey(key);
        if (classOf(key) === 'open') return locks.hold(key, term, options);
        const repository = await this.#repository(options);
        if (repository === undefined) return 'absent';
        return locks.hold(repository.names.toStored(key), term, options);
      },
    };
  }

  async put(key: string, body: Uint8Array, options: PutOptions): Promise<'created' | 'exists'> {
    checkKey(key);
    if (isKeptByTheDoor(key)) throw keptByTheDoor(key);
    if (classOf(key) === 'open') return this.#raw.put(key, body, options);
    const repository = await (isSignature(key)
      ? this.#repository(options)
      : this.#vouchedRepository(options));
    if (repository === undefined) throw noRepository(this.description, `write ${key}`);
    // The store gets other bytes, so the caller's SHA-256 must be checked here.
    if (sha256Hex(body) !== options.sha256) throw checksumMismatch(key, this.description);
    const { metadata } = repository;
    const bodyKey = classOf(key) === 'metadata' ? metadata : await this.keyring.writingKey();
    const place = placeOf(repository, key);
    const sealed = await sealObject({ body: bodyKey, metadata }, place, body, options.sha256, options);
    if (!options.ifAbsent) this.#reader.forget(key);
    return this.#raw.put(repository.names.toStored(key), sealed.stored, {
      ...options,
      sha256: sealed.sha256,
      sameContents: namesItsContents(key, options.sha256),
    });
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkKey(key);
    if (key === REPOSITORY_KEY) await this.#findIdentity(options);
    if (classOf(key) === 'open') return this.#raw.get(key, options);
    const repository = await this.#repository(options);
    if (repository === undefined) throw notFound(key, this.description);
    const contents = await this.#reader.get(repository, key, options);
    if (options.expect !== undefined) {
      const found = { sizeBytes: contents.byteLength, sha256: sha256Hex(contents) };
      const difference = differenceOf(found, options.expect);
      if (difference !== undefined) throw damaged(key, this.description, difference);
    }
    return contents;
  }

  async head(key: string, options: HeadOptions = {}): Promise<StoredObject | undefined> {
    checkKey(key);
    if (classOf(key) === 'open') return this.#raw.head(key, options);
    const repository = await this.#repository(options);
    if (repository === undefined) return undefined;
    const stored = repository.names.toStored(key);
    const isAsked = options.checksum === true;
    const checksum = isAsked && this.#raw.readsForChecksums !== true;
    const found = await this.#raw.head(stored, { ...defined({ signal: options.signal }), checksum });
    if (found === undefined) return undefined;
    const { sha256: recorded, sizeBytes, ...rest } = found;
    const contents = { ...rest, sizeBytes: contentBytes(sizeBytes) ?? NO_SIZE };
    const isRight = (options.sizeBytes ?? contents.sizeBytes) === contents.sizeBytes;
    if (!isAsked || !isRight || contents.sizeBytes === NO_SIZE) return contents;
    const sha256 = await this.#reader.checksum(repository, key, sizeBytes, recorded, options);
    return { ...contents, sha256 };
  }

  async *list(prefix: string, options: Cancellable = {}): AsyncGenerator<ListedObject> {
    if (classOf(prefix) === 'open') {
      yield* this.#raw.list(prefix, options);
      return;
    }
    const repository = await this.#repository(options);
    if (repository === undefined) return;
    const { names } = repository;
    for await (const found of this.#raw.list(names.storedPrefix(prefix), options)) {
      const isOpen = classOf(found.key) === 'open';
      const key = isOpen ? found.key : names.fromStored(found.key);
      if (!key.startsWith(prefix)) continue;
      yield {
        ...found,
        key,
        sizeBytes: isOpen ? found.sizeBytes : (contentBytes(found.sizeBytes) ?? NO_SIZE),
      };
    }
  }

  async *folders(folder: string, options: Cancellable = {}): AsyncGenerator<string> {
    const repository = await this.#repository(options);
    if (repository === undefined) return;
    const stored = repository.names.toStored(folder);
    for await (const name of this.#raw.folders(stored, options)) yield repository.names.fromStored(name);
  }

  async delete(keys: readonly string[], options: Cancellable = {}): Promise<void> {
    for (const key of keys) checkKey(key);
    const open = keys.filter((key) => classOf(key) === 'open');
    const others = keys.filter((key) => classOf(key) !== 'open');
    for (const key of open) if (isKeptByTheDoor(key)) throw keptByTheDoor(key);
    if (open.length > 0) await this.#raw.delete(open, options);
    if (others.length === 0) return;
    const repository = await this.#repository(options);
    if (repository === undefined) throw noRepository(this.description, `delete ${others[0]}`);
    for (const key of others) this.#reader.forget(key);
    await this.#raw.delete(
      others.map((key) => repository.names.toStored(key)),
      options,
    );
  }

  discardUnfinished(options: Cancellable & { readonly olderThanMs: number }): Promise<number> {
    return this.#raw.discardUnfinished(options);
  }

  /** Stores the metadata key and the instructions before `repository.json` names the key. A crash leaves a key file that nothing names. */
  async prepareRepository(
    identity: RepositoryIdentity,
    options: Cancellable = {},
  ): Promise<RepositoryIdentity> {
    const { id } = await this.keyring.makeMetadataKey(options);
    await writeInstructions(this.#raw, options);
    return { ...identity, formatVersion: 2, encryption: { metadataKey: id } };
  }

  close(): Promise<void> {
    return this.#raw.close();
  }

  /** Id of the key that an object is encrypted with, by one small read and without opening it. Throws `STORE_NOT_FOUND`, `STORE_DAMAGED`. */
  async keyIdOf(key: string, options: Cancellable = {}): Promise<string> {
    const repository = await this.#repository(options);
    if (repository === undefined) throw notFound(key, this.description);
    return (await this.#reader.header(repository, key, options)).keyId;
  }

  /** Names of the existing key files. */
  async keyFiles(options: Cancellable = {}): Promise<readonly string[]> {
    return Array.fromAsync(this.#raw.list(KEYS_FOLDER, options), ({ key }) => key);
  }

  /** The repository's document, which can be read without the metadata key. Throws as `readRepository`, and `REPOSITORY_IS_CLEAR`. */
  async identity(options: Cancellable = {}): Promise<EncryptedIdentity> {
    const identity = await this.#findIdentity(options);
    if (identity === undefined) throw noRepository(this.description, 'look at its keys');
    return identity;
  }

  /** The open repository. Undefined where there is none yet. It is opened once. */
  async #repository(options: Cancellable): Promise<OpenRepository | undefined> {
    if (this.#opened !== undefined) return this.#opened;
    const identity = await this.#findIdentity(options);
    if (identity === undefined) return undefined;
    this.#opened ??= this.#openRepository(identity);
    return this.#opened;
  }

  /**
   * The open repository, to write into. Where the plan says that the repository is signed, a trusted key must have signed the document that it was opened by:
   * who replaces the document chooses the metadata key, and may have put the true one back since. Throws as `requireTrusted`.
   */
  async #vouchedRepository(options: Cancellable): Promise<OpenRepository | undefined> {
    let repository = await this.#repository(options);
    if (this.signing === undefined || repository === undefined || repository === this.#vouched) {
      return repository;
    }
    const bytes = await this.#raw.get(REPOSITORY_KEY, options);
    const document = parseRepository(bytes, this.#raw);
    if (!isOpenedBy(document, repository)) {
      this.#opened = undefined;
      repository = await this.#repository(options);
    }
    if (repository === undefined || !isOpenedBy(document, repository)) {
      throw damaged(REPOSITORY_KEY, this.description, 'it was changed while it was read');
    }
    await requireTrusted(this, REPOSITORY_KEY, bytes, options);
    this.#vouched = repository;
    return repository;
  }

  #openRepository({ id, encryption }: EncryptedIdentity): Promise<OpenRepository> {
    const opening = this.keyring
      .metadata(encryption.metadataKey)
      .then((metadata) => ({ id, metadata, names: new StoredNames(metadata.secret) }));
    opening.catch(() => {
      this.#opened = undefined;
    });
    return opening;
  }

  async #findIdentity({ signal }: Cancellable): Promise<EncryptedIdentity | undefined> {
    const identity = await findRepository(this.#raw, signal === undefined ? {} : { signal });
    if (identity === undefined) return undefined;
    const { encryption } = identity;
    if (encryption === undefined) throw repositoryIsClear(this.description);
    return { ...identity, encryption };
  }
}
