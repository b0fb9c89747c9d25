import type { RepositoryIdentity } from './identity.ts';
import type { Signing } from './signing/signing.ts';

/**
 * The contract of a store: where objects live. Implemented by `s3/` and `directory/`, held by one test suite.
 *
 * - Keys are `/`-separated, relative to the store's root (bucket and prefix, or directory); `key.ts` says which are refused.
 *   No key is a folder of another (`a` beside `a/b`): a directory can't hold both.
 * - Every call may be retried. An implementation retries transient failures itself, bounded and with jitter, and then throws a
 *   `HoldfastError` with `transient: true`. A failure that a retry can't mend is thrown at once with `transient: false`.
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
   * With `expect`, size and SHA-256 of what is returned are checked and `STORE_DAMAGED` (permanent) is thrown when they differ.
   * Without `expect`, a whole object is still checked against the checksum that the store keeps, where it keeps one.
   */
  get(key: string, options?: GetOptions): Promise<Uint8Array>;

  /**
   * Size, undefined when absent. With `checksum`, also the SHA-256 (hex) where the store knows it without a transfer:
   * S3 from its record of the upload, a directory by reading the file where it lies.
   */
  head(key: string, options?: HeadOptions): Promise<StoredObject | undefined>;

  /** Every object whose key starts with `prefix`, in no promised order, page by page. */
  list(prefix: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<ListedObject>;

  /**
   * The names directly under `folder` (which ends in `/`, or is empty) that have objects below them, without listing the objects.
   * A directory may also give a name that has none any more.
   */
  folders(folder: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<string>;

  /** Deletes; a key that isn't there is no error. */
  delete(keys: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<void>;

  /**
   * Discards what interrupted puts left outside of every object (temporary files, parts of unfinished uploads), where
   * it is older than `olderThanMs`. Returns how many were discarded.
   */
  discardUnfinished(options: {
    readonly olderThanMs: number;
    readonly signal?: AbortSignal;
  }): Promise<number>;

  /**
   * Writes what must be in place before a repository is made here, and returns what its `repository.json` is to hold. Absent: nothing must be,
   * and it holds what is given.
   */
  prepareRepository?(
    identity: RepositoryIdentity,
    options?: { readonly signal?: AbortSignal },
  ): Promise<RepositoryIdentity>;

  /** True where `head` reads the whole object for its checksum, since the store keeps no record of it. */
  readonly readsForChecksums?: boolean;

  /** How objects are locked here, where the plan asks for it. Absent: nothing is locked. */
  readonly locks?: StoreLocks | undefined;

  /** What the store remembers of objects that were deleted or overwritten. Absent: it keeps no versions. */
  readonly versions?: StoreVersions | undefined;

  /** Who signs what is written here, and whose signatures count. Absent: nothing is signed, and no signature is asked for. */
  readonly signing?: Signing | undefined;

  close(): Promise<void>;
}

/** Until when an object must be locked, and until when it is locked if its lock ends before that. */
export interface LockTerm {
  readonly needed: Date;
  readonly target: Date;
}

/** `isLocked` in `layout.ts` says what a put locks by itself. This is for what was put before. */
export interface StoreLocks {
  /** How long an object is locked from when it is put, milliseconds. */
  readonly forMs: number;
  /** The clock by which a lock's end is reckoned. */
  now(): Date;
  /**
   * Has an object locked for at least the term; a lock is never shortened, and asking again does nothing more. Throws `STORE_LOCKS_LATE` (transient)
   * where the store says that it did and then shows no such lock.
   */
  hold(
    key: string,
    term: LockTerm,
    options?: { readonly signal?: AbortSignal },
  ): Promise<'held' | 'extended' | 'absent'>;
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

export interface PutOptions {
  /** Hex SHA-256 of `body`, computed by the caller once; the store verifies it. */
  readonly sha256: string;
  readonly ifAbsent: boolean;
  /**
   * With `ifAbsent`. True: whoever writes under this key writes the same contents, since it holds their hash. Then a store that says `exists` and has nothing
   * there (docs/retention.md, versitygw) is written to all the same.
   */
  readonly sameContents?: boolean;
  readonly signal?: AbortSignal;
}

export interface GetOptions {
  /** Byte offsets, `end` exclusive and above `start`; what lies beyond the object's end is left out. */
  readonly range?: { readonly start: number; readonly end: number };
  readonly expect?: { readonly sizeBytes: number; readonly sha256: string };
  /** Gives the memory to read into, as many bytes as asked for; asked again for each try. Absent: new memory. */
  readonly memory?: (bytes: number) => Uint8Array;
  readonly signal?: AbortSignal;
}

export interface HeadOptions {
  readonly checksum?: boolean;
  readonly signal?: AbortSignal;
}

export interface StoredObject {
  readonly sizeBytes: number;
  readonly sha256?: string;
  /** Until then the store refuses to delete it, where it locks objects. */
  readonly lockedUntil?: Date;
}

export interface ListedObject {
  readonly key: string;
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
}
