import type { Signing } from './signing/signing.ts';
import type { GetOptions, HeadOptions, ListedObject, PutOptions, Store, StoredObject } from './store.ts';

/** A store in which some objects seem to have other contents, to try out what would be written. Nothing is written through it. */
export class OverlaidStore implements Store {
  readonly signing: Signing | undefined;
  readonly #store: Store;
  readonly #contents: Readonly<Record<string, Uint8Array>>;

  constructor(store: Store, contents: Readonly<Record<string, Uint8Array>>, signing?: Signing) {
    this.#store = store;
    this.#contents = contents;
    this.signing = signing;
  }

  get description(): string {
    return this.#store.description;
  }

  get readsForChecksums(): boolean {
    return this.#store.readsForChecksums ?? false;
  }

  async put(key: string, _body: Uint8Array, _options: PutOptions): Promise<never> {
    throw new TypeError(`nothing is written while ${this.description} is tried out, and ${key} was to be`);
  }

  async get(key: string, options?: GetOptions): Promise<Uint8Array> {
    return this.#contents[key] ?? this.#store.get(key, options);
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

  async delete(keys: readonly string[]): Promise<void> {
    throw new TypeError(
      `nothing is deleted while ${this.description} is tried out, and ${keys[0]} was to be`,
    );
  }

  async discardUnfinished(): Promise<number> {
    return 0;
  }

  async close(): Promise<void> {
    // Whoever opened the store closes it.
  }
}
