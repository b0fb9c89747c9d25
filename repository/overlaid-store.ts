import { ForwardingStore } from './forwarding-store.ts';
import type { Signing } from './signing/signing.ts';
import type { GetOptions, PutOptions, Store } from './store.ts';

/** A store in which some objects seem to have other contents, to try out what would be written. Nothing is written through it. */
export class OverlaidStore extends ForwardingStore {
  readonly #signing: Signing | undefined;
  readonly #contents: Readonly<Record<string, Uint8Array>>;

  constructor(store: Store, contents: Readonly<Record<string, Uint8Array>>, signing?: Signing) {
    super(store);
    this.#contents = contents;
    this.#signing = signing;
  }

  override get signing(): Signing | undefined {
    return this.#signing;
  }

  override async put(key: string, _body: Uint8Array, _options: PutOptions): Promise<never> {
    throw new TypeError(`nothing is written while ${this.description} is tried out, and ${key} was to be`);
  }

  override async get(key: string, options?: GetOptions): Promise<Uint8Array> {
    return this.#contents[key] ?? this.store.get(key, options);
  }

  override async delete(keys: readonly string[]): Promise<void> {
    throw new TypeError(
      `nothing is deleted while ${this.description} is tried out, and ${keys[0]} was to be`,
    );
  }

  override async discardUnfinished(): Promise<number> {
    return 0;
  }

  override async close(): Promise<void> {
    // Whoever opened the store closes it.
  }
}
