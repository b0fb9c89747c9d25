import type { RepositoryIdentity } from './identity.ts';
import type { Signing } from './signing/signing.ts';
import type {
  GetOptions,
  HeadOptions,
  ListedObject,
  PutOptions,
  Store,
  StoredObject,
  StoreLocks,
} from './store.ts';

/**
 * A store that keeps what is written through it in memory, for keys that `remembers` accepts: objects that are written once and
 * that their writer soon reads again. Keeps at most `limitBytes`, and forgets the oldest first.
 *
 * It doesn't notice if another process changes such an object.
 */
export class RememberingStore implements Store {
  readonly #store: Store;
  readonly #remembers: (key: string) => boolean;
  readonly #limitBytes: number;
  readonly #written = new Map<string, { readonly body: Uint8Array; readonly sha256: string }>();
  #writtenBytes = 0;

  constructor(
    store: Store,
    { remembers, limitBytes }: { readonly remembers: (key: string) => boolean; readonly limitBytes: number },
  ) {
    this.#store = store;
    this.#remembers = remembers;
    this.#limitBytes = limitBytes;
  }

  get description(): string {
    return this.#store.description;
  }

  get readsForChecksums(): boolean {
    return this.#store.readsForChecksums ?? false;
  }

  get locks(): StoreLocks | undefined {
    return this.#store.locks;
  }

  get signing(): Signing | undefined {
    return this.#store.signing;
  }

  async put(key: string, body: Uint8Array, options: PutOptions): Promise<'created' | 'exists'> {
    if (!this.#remembers(key)) return this.#store.put(key, body, options);
    this.#forget(key);
    const outcome = await this.#store.put(key, body, options);
    // Keep a copy, since the caller may reuse its memory.
    if (outcome === 'created') this.#remember(key, Uint8Array.from(body), options.sha256);
    return outcome;
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    const known = options.range === undefined ? this.#written.get(key) : undefined;
    const { expect } = options;
    const isExpected =
      expect === undefined || (expect.sha256 === known?.sha256 && expect.sizeBytes === known.body.length);
    if (known === undefined || !isExpected) return this.#store.get(key, options);
    options.signal?.throwIfAborted();
    const memory = options.memory?.(known.body.length) ?? new Uint8Array(known.body.length);
    memory.set(known.body);
    return memory;
  }

  head(key: string, options?: HeadOptions): Promise<StoredObject | undefined> {
    return this.#store.head(key, options);
  }

  list(prefix: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<ListedObject> {
    return this.#store.list(prefix, options);
  }

  folders(folder: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<string> {
    return this.#store.folders(folder, options);
  }

  async delete(keys: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<void> {
    for (const key of keys) this.#forget(key);
    await this.#store.delete(keys, options);
  }

  discardUnfinished(options: {
    readonly olderThanMs: number;
    readonly signal?: AbortSignal;
  }): Promise<number> {
    return this.#store.discardUnfinished(options);
  }

  async prepareRepository(
    identity: RepositoryIdentity,
    options?: { readonly signal?: AbortSignal },
  ): Promise<RepositoryIdentity> {
    return (await this.#store.prepareRepository?.(identity, options)) ?? identity;
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #remember(key: string, body: Uint8Array, sha256: string): void {
    this.#forget(key);
    this.#written.set(key, { body, sha256 });
    this.#writtenBytes += body.length;
    for (const oldest of this.#written.keys()) {
      if (this.#writtenBytes <= this.#limitBytes) break;
      this.#forget(oldest);
    }
  }

  #forget(key: string): void {
    this.#writtenBytes -= this.#written.get(key)?.body.length ?? 0;
    this.#written.delete(key);
  }
}
