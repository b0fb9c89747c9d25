/** Work that is under way asks again at each of its steps, and to read anew at each would cost more than the memory. */
const RECENT_MS = 10_000;
/** What has not been asked for during this time is forgotten, so that an idle worker keeps nothing. */
const IDLE_MS = 60_000;

interface Entry<T> {
  readonly value: Promise<T>;
  /** 0 while the value is being made. */
  bytes: number;
  usedAt: number;
}

/**
 * Keeps values that are asked for again and again, up to a number of bytes: how many objects a backup has must not decide how much memory a worker needs.
 * Forgets what was asked for longest ago, but nothing that was asked for within the last ten seconds, even where that alone is larger than the limit.
 */
export class BoundedCache<T> {
  readonly #limitBytes: number;
  readonly #entries = new Map<string, Entry<T>>();
  #keptBytes = 0;
  #expiry: NodeJS.Timeout | undefined;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** What the values take, about: see `roughBytes`. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /**
   * The value of a name. Whoever asks while it is being made gets the same, so `make` must not heed the signal of one who asks. A failure is not kept.
   */
  get(name: string, make: () => Promise<T>): Promise<T> {
    const entry = this.#entries.get(name) ?? this.#made(name, make);
    entry.usedAt = Date.now();
    // Moves it behind all others.
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    this.#expiry ??= setTimeout(() => this.#expire(), IDLE_MS).unref();
    return entry.value;
  }

  #made(name: string, make: () => Promise<T>): Entry<T> {
    const entry: Entry<T> = { value: make(), bytes: 0, usedAt: 0 };
    entry.value.then(
      (value) => this.#weigh(name, entry, value),
      () => this.#forget(name, entry),
    );
    return entry;
  }

  #weigh(name: string, entry: Entry<T>, value: T): void {
    if (this.#entries.get(name) !== entry) return;
    entry.bytes = roughBytes(value);
    entry.usedAt = Date.now();
    this.#keptBytes += entry.bytes;
    for (const [oldest, one] of this.#entries) {
      if (this.#keptBytes <= this.#limitBytes || entry.usedAt - one.usedAt < RECENT_MS) break;
      this.#forget(oldest, one);
    }
  }

  #forget(name: string, entry: Entry<T>): void {
    if (this.#entries.get(name) !== entry) return;
    this.#entries.delete(name);
    this.#keptBytes -= entry.bytes;
  }

  #expire(): void {
    for (const [name, entry] of this.#entries) {
      if (Date.now() - entry.usedAt >= IDLE_MS) this.#forget(name, entry);
    }
    this.#expiry = this.#entries.size === 0 ? undefined : setTimeout(() => this.#expire(), IDLE_MS).unref();
  }
}

/** A pointer of V8, and the head of an object or a string; measured with Node 24. */
const [POINTER_BYTES, HEAD_BYTES] = [8, 24];

/**
 * About how many bytes of heap a value of plain data takes. Counts what two places share twice, and a string with one byte a character. Reads no
 * function and no private member. Pure.
 */
export function roughBytes(value: unknown): number {
  if (typeof value === 'string') return HEAD_BYTES + value.length;
  if (value instanceof Uint8Array) return HEAD_BYTES + value.byteLength;
  if (typeof value !== 'object' || value === null) return 0;
  const members =
    value instanceof Map ? [...value].flat() : value instanceof Set ? [...value] : Object.values(value);
  return members.reduce((sum: number, member) => sum + POINTER_BYTES + roughBytes(member), HEAD_BYTES);
}
