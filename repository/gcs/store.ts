import { createHash, hash, randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import { defined } from '../../model/defined.ts';
import { HoldfastError, permanent } from '../../model/errors.ts';
import type { GcsLocation } from '../../model/pipeline.ts';
import { bentInTransit, DEFAULT_TIMEOUTS, type SecretResolver, type Timeouts } from '../connection.ts';
import { checkKey, checkPrefix, isKey, rootOf } from '../key.ts';
import { Limiter } from '../limiter.ts';
import { type ReadObject, readBody, readTwiceIfDamaged } from '../read-body.ts';
import { DEFAULT_RETRY, type RetryLimits, withRetry } from '../retry.ts';
import { sha256Hex } from '../sha256.ts';
import type {
  Cancellable,
  GetOptions,
  HeadOptions,
  ListedObject,
  PutOptions,
  Store,
  StoredObject,
} from '../store.ts';
import {
  checksumMismatch,
  differenceInSize,
  differenceOf,
  notFound,
  STORE_LOCKED,
  stillLocked,
} from '../store-errors.ts';
import { GcsClient } from './client.ts';
import { GcsFailure, gcsError } from './errors.ts';

/** The service has no request that deletes many but one whose parts fail one by one. */
const DELETES_AT_ONCE = 32;

/** Settings of a store. All have a default. */
export interface GcsStoreOptions {
  readonly retry?: RetryLimits;
  readonly timeouts?: Timeouts;
}

/** Sizes are texts in JSON, since they may have 64 bits. */
const size = z.string().regex(/^\d+$/).transform(Number);
const objectAnswer = z.object({
  size,
  metadata: z
    .object({
      sha256: z
        .string()
        .regex(/^[0-9a-f]{64}$/)
        .optional()
        .catch(undefined),
    })
    .optional(),
});
const pageAnswer = z.object({
  nextPageToken: z.string().optional(),
  prefixes: z.array(z.string()).optional(),
  items: z.array(z.object({ name: z.string(), size, timeCreated: z.coerce.date() })).optional(),
});

type Signal = { readonly signal?: AbortSignal | undefined };

/**
 * Objects in a bucket of Google Cloud Storage under a prefix. The service checks the MD5 of each put, and keeps it. The caller's SHA-256, checked here before anything
 * is sent, stands in the object's metadata. `ifAbsent` is `ifGenerationMatch=0`.
 */
export class GcsStore implements Store {
  readonly description: string;
  readonly #client: GcsClient;
  readonly #location: GcsLocation;
  readonly #objects: string;
  readonly #prefix: string;
  readonly #retry: RetryLimits;
  /** 404 is the answer for a missing bucket and for a missing object. Once the bucket was seen, it is assumed to exist. */
  #bucketSeen = false;

  private constructor(client: GcsClient, location: GcsLocation, options: GcsStoreOptions) {
    this.#prefix = rootOf(location.prefix);
    this.description = `gs://${location.bucket}/${this.#prefix}`.replace(/\/$/, '');
    this.#client = client;
    this.#location = location;
    this.#objects = `/storage/v1/b/${encodeURIComponent(location.bucket)}/o`;
    this.#retry = options.retry ?? DEFAULT_RETRY;
  }

  /** Resolves the credentials. Makes no request yet. Throws `STORE_NO_LIBRARY` and `STORE_CREDENTIALS` (permanent). */
  static async open(
    location: GcsLocation,
    secret: SecretResolver,
    options: GcsStoreOptions = {},
  ): Promise<GcsStore> {
    const client = await GcsClient.open(location, secret, options.timeouts ?? DEFAULT_TIMEOUTS);
    return new GcsStore(client, location, options);
  }

  async put(key: string, body: Uint8Array, options: PutOptions): Promise<'created' | 'exists'> {
    checkKey(key);
    // The service knows no SHA-256, so that what the caller announced is checked here.
    if (sha256Hex(body) !== options.sha256) throw checksumMismatch(key, this.description);
    const md5 = hash('md5', body, 'base64');
    return this.#try(`write ${key}`, options, async () => {
      try {
        await this.#send(key, body, md5, options);
        return 'created';
      } catch (error) {
        if (error instanceof GcsFailure && options.ifAbsent && error.status === 412) return 'exists';
        if (error instanceof GcsFailure && error.status === 400 && /md5|hash/i.test(error.message))
          throw bentInTransit(key, this.description, error);
        const known = gcsError(error, `write ${key}`, this.description);
        if (options.ifAbsent && known instanceof HoldfastError && known.code === 'STORE_UNREACHABLE') {
          // The put may have been done, and only its answer was lost. That is found out without sending the body again.
          if ((await this.#head(key, options)) !== undefined) return 'exists';
        }
        throw known;
      }
    });
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    checkKey(key);
    return readTwiceIfDamaged(() => this.#read(key, options), key, this.description);
  }

  async head(key: string, options: HeadOptions = {}): Promise<StoredObject | undefined> {
    checkKey(key);
    const found = await this.#try(`look at ${key}`, options, () => this.#head(key, options));
    if (found === undefined) return undefined;
    return {
      sizeBytes: found.size,
      ...defined({ sha256: options.checksum ? found.metadata?.sha256 : undefined }),
    };
  }

  async *list(prefix: string, options: Cancellable = {}): AsyncGenerator<ListedObject> {
    checkPrefix(prefix);
    for await (const { items = [] } of this.#pages(prefix, undefined, options)) {
      for (const { name, size: sizeBytes, timeCreated: modifiedAt } of items) {
        const key = name.slice(this.#prefix.length);
        if (isKey(key)) yield { key, sizeBytes, modifiedAt };
      }
    }
  }

  async *folders(folder: string, options: Cancellable = {}): AsyncGenerator<string> {
    checkPrefix(folder);
    for await (const { prefixes = [] } of this.#pages(folder, '/', options)) {
      for (const prefix of prefixes) {
        const inside = prefix.slice(this.#prefix.length, -1);
        if (isKey(inside)) yield inside.slice(folder.length);
      }
    }
  }

  async delete(keys: readonly string[], options: Cancellable = {}): Promise<void> {
    for (const key of keys) checkKey(key);
    const limiter = new Limiter(DELETES_AT_ONCE);
    const locked: string[] = [];
    let failed = false;
    const deleting = keys.map((key) =>
      limiter.run(async () => {
        if (failed) return;
        try {
          await this.#try(`delete ${key}`, options, () => this.#delete(key, options));
        } catch (error) {
          const isLocked = error instanceof HoldfastError && error.code === STORE_LOCKED;
          failed ||= !isLocked;
          if (!isLocked) throw error;
          locked.push(key);
        }
      }),
    );
    // Nothing goes on in the background after the first error.
    const first = (await Promise.allSettled(deleting)).find(({ status }) => status === 'rejected');
    if (first?.status === 'rejected') throw first.reason;
    if (locked.length > 0) throw stillLocked(locked, undefined, this.description);
  }

  /** A put is one request, of which the service keeps nothing unless it came whole. */
  async discardUnfinished(): Promise<number> {
    return 0;
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  #pathOf(key: string): string {
    return `${this.#objects}/${encodeURIComponent(this.#prefix + key)}`;
  }

  /** One request of two parts: what the service shall keep of the object, and its bytes. */
  async #send(
    key: string,
    body: Uint8Array,
    md5: string,
    { sha256, ifAbsent, signal }: PutOptions,
  ): Promise<void> {
    const { storageClass } = this.#location;
    const about = {
      ...{ name: this.#prefix + key, contentType: 'application/octet-stream', md5Hash: md5 },
      ...{ metadata: { sha256 }, ...defined({ storageClass }) },
    };
    const boundary = `holdfast-${randomUUID()}`;
    const part = (type: string) => `--${boundary}\r\ncontent-type: ${type}\r\n\r\n`;
    const head = `${part('application/json; charset=UTF-8')}${JSON.stringify(about)}\r\n${part('application/octet-stream')}`;
    await this.#client.json({
      method: 'POST',
      path: `/upload${this.#objects}`,
      query: { uploadType: 'multipart', fields: 'name', ifGenerationMatch: ifAbsent ? '0' : undefined },
      headers: { 'content-type': `multipart/related; boundary=${boundary}` },
      body: [Buffer.from(head), body, Buffer.from(`\r\n--${boundary}--`)],
      signal,
    });
    this.#bucketSeen = true;
  }

  /** Reads a whole object or a range once. */
  async #read(key: string, options: GetOptions): Promise<ReadObject> {
    const { range, expect, memory, signal } = options;
    const headers = range === undefined ? {} : { range: `bytes=${range.start}-${range.end - 1}` };
    return this.#try(`read ${key}`, options, async () => {
      let answer: IncomingMessage;
      try {
        const call = {
          method: 'GET',
          path: this.#pathOf(key),
          query: { alt: 'media' },
          headers,
          signal,
        } as const;
        answer = await this.#client.call(call);
      } catch (error) {
        if (!(error instanceof GcsFailure)) throw error;
        if (error.status === 404) {
          await this.#explain(options);
          throw notFound(key, this.description, error);
        }
        // The range begins at or after the end of the object, so the result is empty.
        if (error.status !== 416) throw error;
        const actual = { sizeBytes: 0, sha256: undefined };
        return { bytes: new Uint8Array(), difference: expect && differenceOf(actual, expect) };
      }
      const announced = Number(answer.headers['content-length'] ?? Number.NaN);
      if (Number.isNaN(announced)) throw this.#incomplete('the headers of an object');
      const difference = differenceInSize(announced, options);
      if (difference !== undefined) {
        answer.destroy();
        return { bytes: new Uint8Array(), difference };
      }
      // Where the caller expects nothing, the service's own checksum of the whole is compared.
      const stored = expect === undefined && range === undefined ? storedMd5(answer) : undefined;
      const md5 = stored === undefined ? undefined : createHash('md5');
      const { bytes, sha256 } = await readBody(answer, announced, memory, md5);
      if (expect !== undefined)
        return { bytes, difference: differenceOf({ sizeBytes: bytes.byteLength, sha256 }, expect) };
      const actual = md5?.digest('base64');
      return {
        bytes,
        difference: actual === stored ? undefined : `its MD5 is ${actual} instead of ${stored}`,
      };
    });
  }

  async #head(key: string, options: Signal) {
    try {
      const query = { fields: 'size,metadata' };
      const answer = await this.#client.json({
        method: 'GET',
        path: this.#pathOf(key),
        query,
        signal: options.signal,
      });
      this.#bucketSeen = true;
      return this.#checked(objectAnswer, answer, 'the answer about an object');
    } catch (error) {
      if (!(error instanceof GcsFailure) || error.status !== 404) throw error;
      await this.#explain(options);
      return undefined;
    }
  }

  async #delete(key: string, options: Signal): Promise<void> {
    try {
      await this.#client.json({ method: 'DELETE', path: this.#pathOf(key), signal: options.signal });
    } catch (error) {
      if (!(error instanceof GcsFailure) || error.status !== 404) throw error;
      await this.#explain(options);
    }
  }

  /** After a 404: a small listing fails where it is the bucket that is missing. */
  async #explain({ signal }: Signal): Promise<void> {
    if (this.#bucketSeen) return;
    const query = { prefix: this.#prefix, maxResults: '1', fields: 'nextPageToken' };
    await this.#client.json({ method: 'GET', path: this.#objects, query, signal });
    this.#bucketSeen = true;
  }

  async *#pages(prefix: string, delimiter: string | undefined, options: Cancellable) {
    const fields = 'nextPageToken,prefixes,items(name,size,timeCreated)';
    let pageToken: string | undefined;
    do {
      const query = { prefix: this.#prefix + prefix, delimiter, pageToken, maxResults: '1000', fields };
      const page = await this.#try(`list ${prefix}`, options, async () =>
        this.#checked(
          pageAnswer,
          await this.#client.json({ method: 'GET', path: this.#objects, query, signal: options.signal }),
          'a listing',
        ),
      );
      yield page;
      if (page.nextPageToken !== undefined && page.nextPageToken === pageToken)
        throw this.#incomplete('a listing that goes on from where it has just been, and');
      pageToken = page.nextPageToken;
    } while (pageToken !== undefined);
  }

  #checked<T>(schema: z.ZodType<T>, answer: unknown, what: string): T {
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    throw this.#incomplete(what);
  }

  #incomplete(what: string): HoldfastError {
    return permanent(
      'STORE_UNSUPPORTED',
      `${this.description} leaves out required members in ${what}.`,
      'Check that the endpoint is Cloud Storage’s JSON API.',
    );
  }

  async #try<T>(what: string, options: Signal, operation: () => Promise<T>): Promise<T> {
    const described = async (): Promise<T> => {
      try {
        return await operation();
      } catch (error) {
        throw gcsError(error, what, this.description);
      }
    };
    return withRetry(described, this.#retry, options.signal);
  }
}

/** The MD5 in base64 that the service computed of the whole object, by its header `x-goog-hash`. */
function storedMd5({ headers }: IncomingMessage): string | undefined {
  const given = headers['x-goog-hash'];
  return /md5=([A-Za-z0-9+/]{22}==)/.exec(Array.isArray(given) ? given.join() : (given ?? ''))?.[1];
}
