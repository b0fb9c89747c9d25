import { checkKey, checkPrefix, isKey, rootOf } from './key.ts';
import { type ReadObject, readTwiceIfDamaged } from './read-body.ts';
import { DEFAULT_RETRY, type RetryLimits, withRetry } from './retry.ts';
import type { Cancellable, GetOptions, ListedObject } from './store.ts';
import { listingGoesNowhere } from './store-errors.ts';

export type Signal = { readonly signal?: AbortSignal | undefined };

/** A page of a listing. Names are the service's own: the prefix of the repository stands before them. */
export interface Page {
  readonly objects: readonly (Omit<ListedObject, 'key'> & { readonly name: string })[];
  /** Each ends in a slash. */
  readonly folders: readonly string[];
  /** Where the listing goes on. Absent: this is the last page. */
  readonly next?: string | undefined;
}

/** What the stores in buckets (S3, Google Cloud Storage, Azure) have alike: a prefix, retries, pages of listings, reads that are tried twice before damage is told. */
export abstract class BucketStore {
  readonly description: string;
  /** Empty, or ends in a slash. */
  protected readonly prefix: string;
  readonly #retry: RetryLimits;

  /** @param place the bucket, as a URL */
  protected constructor(place: string, prefix: string, retry: RetryLimits = DEFAULT_RETRY) {
    this.prefix = rootOf(prefix);
    this.description = `${place}/${this.prefix}`.replace(/\/$/, '');
    this.#retry = retry;
  }

  /** The store's error for whatever a call has thrown. @param what e.g. `write data/x` */
  protected abstract errorOf(error: unknown, what: string): unknown;
  /** Reads a whole object or a range once; tries again while the connection fails. Also returns what is wrong with the bytes. */
  protected abstract read(key: string, options: GetOptions): Promise<ReadObject>;
  /** One page of what stands below a prefix, once. With a delimiter, names that have it after the prefix are told as folders. @param from the `next` of the page before */
  protected abstract page(
    prefix: string,
    delimiter: string | undefined,
    from: string | undefined,
    options: Signal,
  ): Promise<Page>;

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkKey(key);
    return readTwiceIfDamaged(() => this.read(key, options), key, this.description);
  }

  async *list(prefix: string, options: Cancellable = {}): AsyncGenerator<ListedObject> {
    checkPrefix(prefix);
    for await (const { objects } of this.#pages(prefix, undefined, options)) {
      for (const { name, sizeBytes, modifiedAt } of objects) {
        const key = name.slice(this.prefix.length);
        if (isKey(key)) yield { key, sizeBytes, modifiedAt };
      }
    }
  }

  async *folders(folder: string, options: Cancellable = {}): AsyncGenerator<string> {
    checkPrefix(folder);
    for await (const { folders } of this.#pages(folder, '/', options)) {
      for (const name of folders) {
        const inside = name.slice(this.prefix.length, -1);
        if (isKey(inside)) yield inside.slice(folder.length);
      }
    }
  }

  /** Calls `operation` until it succeeds or fails for good; throws the store's error. */
  protected async attempt<T>(what: string, { signal }: Signal, operation: () => Promise<T>): Promise<T> {
    const described = async (): Promise<T> => {
      try {
        return await operation();
      } catch (error) {
        throw this.errorOf(error, what);
      }
    };
    return withRetry(described, this.#retry, signal);
  }

  async *#pages(prefix: string, delimiter: string | undefined, options: Cancellable): AsyncGenerator<Page> {
    let from: string | undefined;
    do {
      const page = await this.attempt(`list ${prefix}`, options, () =>
        this.page(this.prefix + prefix, delimiter, from, options),
      );
      yield page;
      if (page.next !== undefined && page.next === from) throw listingGoesNowhere(this.description);
      from = page.next;
    } while (from !== undefined);
  }
}
