import type { RepositoryIdentity } from './identity.ts';
import type { Signing } from './signing/signing.ts';

/** A call that can be stopped: it then rejects with the signal's reason. */
export interface Cancellable {
  readonly signal?: AbortSignal;
}

/**
 * The contract of a store: where objects live. `s3/`, `gcs/`, `azure/` and `directory/` implement it; one test suite holds them to it.
 *
 * - Keys are separated by `/` and relative to the store's root (bucket and prefix, or directory); `key.ts` says which are refused. No key may be a folder of
 *   another (`a` beside `a/b`), since a directory can't hold both.
 * - Every call may be retried. An implementation itself retries transient failures, a limited number of times and with jitter. Then it throws a
 *   `HoldfastError` with `transient: true`. A failure that a retry can't mend is thrown at once with `transient: false`.
 * - `put` is atomic: a reader sees the whole object or none. Bytes are checked against `sha256` on the way.
 * - After `put` has returned, the object survives a crash of this process and of the store's machine, as far as the store promises.
 */
export interface Store {
  /** Names the store in messages: `s3://bucket/prefix` or the directory; never a secret. */
  readonly description: string;

  /**
   * Stores `body` under `key`. With `ifAbsent`, leaves an existing object alone and returns `exists`; of two writers at once exactly one gets `created`.
   * Without `ifAbsent`, replaces an existing object.
   */
  put(key: string, body: Uint8Array, options: PutOptions): Promise<'created' | 'exists'>;

  /**
   * The whole object, or `range` of it. Throws `STORE_NOT_FOUND` (permanent) if it doesn't exist. With `expect`, checks size and SHA-256 of what it returns,
   * and throws `STORE_DAMAGED` (permanent) if they differ. Without `expect`, a whole object is still checked against the store's own checksum, if the store
   * keeps one.
   */
  get(key: string, options?: GetOptions): Promise<Uint8Array>;

  /**
   * The object's size; undefined if it doesn't exist. With `checksum`, also its SHA-256 (hex) if the store knows that without a transfer: a bucket from its record
   * of the upload, a directory by reading the file in its place.
   */
  head(key: string, options?: HeadOptions): Promise<StoredObject | undefined>;

  /** Every object whose key starts with `prefix`, in any order, page by page. */
  list(prefix: string, options?: Cancellable): AsyncIterable<ListedObject>;

  /**
   * The names directly in `folder` (which ends in `/`, or is empty) that have objects below them, without listing these objects. A directory may also return
   * a name below which there are none left.
   */
  folders(folder: string, options?: Cancellable): AsyncIterable<string>;

  /** Deletes objects. A key without an object is not an error. */
  delete(keys: readonly string[], options?: Cancellable): Promise<void>;

  /**
   * Discards what interrupted puts left outside of all objects (temporary files, parts of unfinished uploads), if it is older than `olderThanMs`. Returns the
   * number of discarded items.
   */
  discardUnfinished(options: Cancellable & { readonly olderThanMs: number }): Promise<number>;

  /**
   * Writes what must exist before a repository is made here. Returns what its `repository.json` must contain. Absent: nothing must be written, and
   * `repository.json` contains the given identity.
   */
  prepareRepository?(identity: RepositoryIdentity, options?: Cancellable): Promise<RepositoryIdentity>;

  /** True: `head` reads the whole object for its checksum, since the store has no record of it. */
  readonly readsForChecksums?: boolean;

  /** How objects are locked here. Absent: the plan locks nothing. */
  readonly locks?: StoreLocks | undefined;

  /** What the store remembers of objects that were deleted or overwritten. Absent: it keeps no versions. */
  readonly versions?: StoreVersions | undefined;

  /** Who signs what is written here, and whose signatures count. Absent: nothing is signed, and no signature is asked for. */
  readonly signing?: Signing | undefined;

  close(): Promise<void>;
}

/** `needed`: the least end of an object's lock. `target`: the end that an extended lock gets. */
export interface LockTerm {
  readonly needed: Date;
  readonly target: Date;
}

/** Locks for objects that were put earlier. `isLocked` in `layout.ts` says which objects a put locks by itself. */
export interface StoreLocks {
  /** How long a put locks an object, milliseconds. */
  readonly forMs: number;
  /** The clock from which a lock's end is computed. */
  now(): Date;
  /**
   * Makes sure that an object is locked for at least the term. Never shortens a lock, and a second call does nothing more. Throws `STORE_LOCKS_LATE`
   * (transient) where the store accepts a lock and then doesn't show it.
   */
  hold(key: string, term: LockTerm, options?: Cancellable): Promise<'held' | 'extended' | 'absent'>;
}

/** Older versions of objects, as a bucket with versioning keeps them. */
export interface StoreVersions {
  /** Objects that had other contents at an instant than now, in order of keys. What came after it is left out. */
  lostSince(since: Date, options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<LostObject>;
  /** Gives an object the contents back that it had, as another version: nothing that the store keeps is removed. */
  putBack(lost: LostObject, options?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
}

export interface LostObject {
  readonly key: string;
  /** The store's name of the contents that it had. */
  readonly version: string;
  /** Of those contents. */
  readonly sizeBytes: number;
  readonly happened: 'deleted' | 'overwritten';
  /** When, by the store's clock; the last time where it happened more than once. */
  readonly at: Date;
}

/** How an object is written. */
export interface PutOptions {
  /** SHA-256 of `body` in hex. The caller computes it once; the store verifies it. */
  readonly sha256: string;
  readonly ifAbsent: boolean;
  /**
   * With `ifAbsent`. True: the key contains the hash of its contents, so every writer of it writes the same. Then the object is written even if the store
   * says `exists` and has nothing there (docs/retention.md, versitygw).
   */
  readonly sameContents?: boolean;
  readonly signal?: AbortSignal;
}

/** How an object is read. */
export interface GetOptions {
  /** Byte offsets; `end` is exclusive and above `start`. Bytes beyond the object's end are left out. */
  readonly range?: { readonly start: number; readonly end: number };
  readonly expect?: { readonly sizeBytes: number; readonly sha256: string };
  /** A result of more bytes counts as damaged, and is not read. With `expect`, so does any result that has not its size. */
  readonly mostBytes?: number;
  /** Gives the memory to read into, of the requested number of bytes; called again for each try. Absent: new memory. */
  readonly memory?: (bytes: number) => Uint8Array;
  readonly signal?: AbortSignal;
}

/** What is asked about an object. */
export interface HeadOptions {
  readonly checksum?: boolean;
  /** With `checksum`: the size that the object should have. One of another size is not read for its checksum, which is then left out. */
  readonly sizeBytes?: number;
  readonly signal?: AbortSignal;
}

/** What a store knows of an object. */
export interface StoredObject {
  readonly sizeBytes: number;
  readonly sha256?: string;
  /** The store refuses to delete the object before this time. Absent where it locks nothing. */
  readonly lockedUntil?: Date;
}

/** An object as a listing shows it. */
export interface ListedObject {
  readonly key: string;
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
}
