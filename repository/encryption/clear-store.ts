import { recover } from '../../model/errors.ts';
import { ForwardingStore } from '../forwarding-store.ts';
import type { RepositoryIdentity } from '../identity.ts';
import { namesItsContents } from '../layout.ts';
import { findRepository } from '../repository.ts';
import type { Signing } from '../signing/signing.ts';
import type {
  Cancellable,
  GetOptions,
  HeadOptions,
  ListedObject,
  PutOptions,
  Store,
  StoredObject,
} from '../store.ts';
import { isDamage } from '../store-errors.ts';
import { repositoryIsEncrypted } from './errors.ts';

/**
 * The door to a clear repository. Before anything is read or written, it checks once that the repository is clear: in an encrypted one, everybody
 * could read clear objects, and Holdfast would not find them. Throws `REPOSITORY_IS_ENCRYPTED` (permanent) where it is encrypted.
 */
export class ClearStore extends ForwardingStore {
  readonly #signing: Signing | undefined;
  #isClear = false;

  constructor(raw: Store, signing?: Signing) {
    super(raw);
    this.#signing = signing;
  }

  override get signing(): Signing | undefined {
    return this.#signing;
  }

  override async put(key: string, body: Uint8Array, options: PutOptions): Promise<'created' | 'exists'> {
    await this.#requireClear(options);
    return this.store.put(key, body, { ...options, sameContents: namesItsContents(key, options.sha256) });
  }

  override async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    await this.#requireClear(options);
    return this.store.get(key, options);
  }

  override async head(key: string, options: HeadOptions = {}): Promise<StoredObject | undefined> {
    await this.#requireClear(options);
    return this.store.head(key, options);
  }

  override async *list(prefix: string, options: Cancellable = {}): AsyncGenerator<ListedObject> {
    await this.#requireClear(options);
    yield* this.store.list(prefix, options);
  }

  override async *folders(folder: string, options: Cancellable = {}): AsyncGenerator<string> {
    await this.#requireClear(options);
    yield* this.store.folders(folder, options);
  }

  override async delete(keys: readonly string[], options: Cancellable = {}): Promise<void> {
    await this.#requireClear(options);
    await this.store.delete(keys, options);
  }

  override async discardUnfinished(options: Cancellable & { readonly olderThanMs: number }): Promise<number> {
    await this.#requireClear(options);
    return this.store.discardUnfinished(options);
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
    const finding = recover(findRepository(this.store, options), 'STORE_NO_DIRECTORY', () => undefined);
    // A damaged document must not prevent restores. Encrypted objects are not sealed JSON, so reading one fails by name anyway.
    return await recover(finding, isDamage, () => 'damaged' as const);
  }
}
