import { ForwardingStore } from './forwarding-store.ts';
import type { Cancellable, GetOptions, PutOptions, Store } from './store.ts';

/**
 * A store that keeps what is written through it in memory, for keys that `remembers` accepts: objects that are written once and
 * that their writer soon reads again. Keeps at most `limitBytes`, and forgets the oldest first.
 *
 * It doesn't notice if another process changes such an object.
 */
export class RememberingStore extends ForwardingStore {
  readonly #remembers: (key: string) => boolean;
  readonly #limitBytes: number;
  readonly #written = new Map<string, { readonly body: Uint8Array; readonly sha256: string }>();
  #writtenBytes = 0;

  constructor(
    store: Store,
    { remembers, limitBytes }: { readonly remembers: (key: string) => boolean; readonly limitBytes: number },
  ) {
    super(store);
    this.#remembers = remembers;
    this.#limitBytes = limitBytes;
  }

  override async put(key: string, body: Uint8Array, options: PutOptions): Promise<'created' | 'exists'> {
    if (!this.#remembers(key)) return this.store.put(key, body, options);
    this.#forget(key);
    const outcome = await this.store.put(key, body, options);
    // Keep a copy, since the caller may reuse its memory.
    if (outcome === 'created') this.#remember(key, Uint8Array.from(body), options.sha256);
    return outcome;
  }

  override async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    const known = options.range === undefined ? this.#written.get(key) : undefined;
    const { expect } = options;
    const isExpected =
      expect === undefined || (expect.sha256 === known?.sha256 && expect.sizeBytes === known.body.length);
    if (known === undefined || !isExpected) return this.store.get(key, options);
    options.signal?.throwIfAborted();
    const memory = options.memory?.(known.body.length) ?? new Uint8Array(known.body.length);
    memory.set(known.body);
    return memory;
  }

  override async delete(keys: readonly string[], options?: Cancellable): Promise<void> {
    for (const key of keys) this.#forget(key);
    await this.store.delete(keys, options);
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
