/**
 * The contract of a store: where objects live. Implemented by `s3.ts` and `directory.ts`, held by one test suite.
 *
 * - Keys are `/`-separated, relative to the store's root (bucket and prefix, or directory), without `.`, `..` or empty parts.
 * - Every call may be retried; an implementation itself retries what is transient with jitter, bounded, and then throws a
 *   `HoldfastError` with `transient: true`. What a retry can't mend is thrown at once with `transient: false`.
 * - `put` is atomic: a reader sees the whole object or none. Bytes are checked against `sha256` on the way.
 * - After `put` returned, the object survives a crash of this process and of the store's machine as far as the store promises.
 */
export interface Store {
  /** For messages: `s3://bucket/prefix` or the directory; never a secret. */
  readonly description: string;

  /**
   * Stores `body` under `key`. With `ifAbsent`, an object already there is left alone and `exists` is returned,
   * and of two writers at once exactly one gets `created`. Without, it is replaced.
   */
  put(key: string, body: Uint8Array, options: PutOptions): Promise<'created' | 'exists'>;

  /**
   * The whole object, or `range` of it. Throws `STORE_NOT_FOUND` (permanent) if it isn't there.
   * With `expect`, size and SHA-256 are checked and `STORE_DAMAGED` (permanent) is thrown when they differ.
   */
  get(key: string, options?: GetOptions): Promise<Uint8Array>;

  /** Size and, where the store keeps one, the stored SHA-256 (hex) without a download; undefined when absent. */
  head(key: string, options?: { readonly signal?: AbortSignal }): Promise<StoredObject | undefined>;

  /** Every object whose key starts with `prefix`, in no promised order, page by page. */
  list(prefix: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<ListedObject>;

  /** Deletes; a key that isn't there is no error. */
  delete(keys: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<void>;

  close(): Promise<void>;
}

export interface PutOptions {
  /** Hex SHA-256 of `body`, computed by the caller once; the store verifies it. */
  readonly sha256: string;
  readonly ifAbsent: boolean;
  readonly signal?: AbortSignal;
}

export interface GetOptions {
  /** Byte offsets, `end` exclusive. */
  readonly range?: { readonly start: number; readonly end: number };
  readonly expect?: { readonly sizeBytes: number; readonly sha256: string };
  readonly signal?: AbortSignal;
}

export interface StoredObject {
  readonly sizeBytes: number;
  readonly sha256?: string;
}

export interface ListedObject {
  readonly key: string;
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
}
