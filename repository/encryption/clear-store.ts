import { recover } from '../../model/errors.ts';
import type { RepositoryIdentity } from '../identity.ts';
import { namesItsContents } from '../layout.ts';
import { findRepository } from '../repository.ts';
import type { Signing } from '../signing/signing.ts';
import type {
  GetOptions,
  HeadOptions,
  ListedObject,
  PutOptions,
  Store,
  StoredObject,
  StoreLocks,
} from '../store.ts';
import { isDamage } from '../store-errors.ts';
import { repositoryIsEncrypted } from './errors.ts';

type Cancellable = { readonly signal?: AbortSignal };

/**
 * The door to a clear repository. Before anything is read or written, it checks once that the repository is clear: in an encrypted one, everybody
 * could read clear objects, and Holdfast would not find them. Throws `REPOSITORY_IS_ENCRYPTED` (permanent) where it is encrypted.
 */
export class ClearStore implements Store {
  readonly signing: Signing | undefined;
  readonly #raw: Store;
  #isClear = false;

  constructor(raw: Store, signing?: Signing) {
    this.#raw = raw;
    this.signing = signing;
  }

  get description(): string {
    return this.#raw.description;
  }

  get readsForChecksums(): boolean {
    return this.#raw.readsForChecksums ?? false;
  }

  get locks(): StoreLocks | undefined {
    return this.#raw.locks;
  }

  async put(key: string, body: Uint8Array, options: PutOptions): Promise<'created' | 'exists'> {
    await this.#requireClear(options);
    return this.#raw.put(key, body, { ...options, sameContents: namesItsContents(key, options.sha256) });
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    await this.#requireClear(options);
    return this.#raw.get(key, options);
  }

  async head(key: string, options: HeadOptions = {}): Promise<StoredObject | undefined> {
    await this.#requireClear(options);
    return this.#raw.head(key, options);
  }

  async *list(prefix: string, options: Cancellable = {}): AsyncGenerator<ListedObject> {
    await this.#requireClear(options);
    yield* this.#raw.list(prefix, options);
  }

  async *folders(folder: string, options: Cancellable = {}): AsyncGenerator<string> {
    await this.#requireClear(options);
    yield* this.#raw.folders(folder, options);
  }

  async delete(keys: readonly string[], options: Cancellable = {}): Promise<void> {
    await this.#requireClear(options);
    await this.#raw.delete(keys, options);
  }

  async discardUnfinished(options: {
    readonly olderThanMs: number;
    readonly signal?: AbortSignal;
  }): Promise<number> {
    await this.#requireClear(options);
    return this.#raw.discardUnfinished(options);
  }

  close(): Promise<void> {
    return this.#raw.close();
  }

  async #requireClear({ signal }: Cancellable): Promise<void> {
    if (this.#isClear) return;
    const identity = await this.#findIdentity(signal === undefined ? {} : { signal });
    if (identity === 'damaged') return;
    if (identity?.encryption !== undefined) throw repositoryIsEncrypted(this.description);
    // While there is no repository yet, somebody may still create an encrypted one, so the next call checks again.
    this.#isClear = identity !== undefined;
  }

  async #findIdentity(options: Cancellable): Promise<RepositoryIdentity | 'damaged' | undefined> {
    // There may be no directory yet. The call itself knows what to do: a put makes it.
    const finding = recover(findRepository(this.#raw, options), 'STORE_NO_DIRECTORY', () => undefined);
    // A damaged document must not prevent restores. Encrypted objects are not sealed JSON, so reading one fails by name anyway.
    return await recover(finding, isDamage, () => 'damaged' as const);
  }
}
