import type { RepositoryIdentity } from './identity.ts';
import type { Signing } from './signing/signing.ts';
import type {
  Cancellable,
  GetOptions,
  HeadOptions,
  ListedObject,
  PutOptions,
  Store,
  StoredObject,
  StoreLocks,
} from './store.ts';

/** Hands every call on to another store. Those that do something of their own to some calls extend it. */
export class ForwardingStore implements Store {
  protected readonly store: Store;

  constructor(store: Store) {
    this.store = store;
  }

  get description(): string {
    return this.store.description;
  }

  get readsForChecksums(): boolean {
    return this.store.readsForChecksums ?? false;
  }

  get locks(): StoreLocks | undefined {
    return this.store.locks;
  }

  get signing(): Signing | undefined {
    return this.store.signing;
  }

  async put(key: string, body: Uint8Array, options: PutOptions): Promise<'created' | 'exists'> {
    return this.store.put(key, body, options);
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    return this.store.get(key, options);
  }

  async head(key: string, options: HeadOptions = {}): Promise<StoredObject | undefined> {
    return this.store.head(key, options);
  }

  list(prefix: string, options: Cancellable = {}): AsyncIterable<ListedObject> {
    return this.store.list(prefix, options);
  }

  folders(folder: string, options: Cancellable = {}): AsyncIterable<string> {
    return this.store.folders(folder, options);
  }

  async delete(keys: readonly string[], options: Cancellable = {}): Promise<void> {
    await this.store.delete(keys, options);
  }

  async discardUnfinished(options: Cancellable & { readonly olderThanMs: number }): Promise<number> {
    return this.store.discardUnfinished(options);
  }

  async prepareRepository(
    identity: RepositoryIdentity,
    options: Cancellable = {},
  ): Promise<RepositoryIdentity> {
    return (await this.store.prepareRepository?.(identity, options)) ?? identity;
  }

  async close(): Promise<void> {
    await this.store.close();
  }
}
