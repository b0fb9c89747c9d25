import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import { defined } from '../../model/defined.ts';
import { type HoldfastError, permanent } from '../../model/errors.ts';
import type { GcsLocation } from '../../model/pipeline.ts';
import type { Page, Signal } from '../bucket-store.ts';
import { DEFAULT_TIMEOUTS, type SecretResolver, type Timeouts } from '../connection.ts';
import { Md5Store, type Meaning } from '../md5-store.ts';
import type { RetryLimits } from '../retry.ts';
import type { PutOptions, StoredObject } from '../store.ts';
import { GcsClient } from './client.ts';
import { GcsFailure, gcsError } from './errors.ts';

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

/** Objects in a bucket of Google Cloud Storage under a prefix. `ifAbsent` is `ifGenerationMatch=0`. */
export class GcsStore extends Md5Store {
  readonly #client: GcsClient;
  readonly #location: GcsLocation;
  readonly #objects: string;
  /** 404 is the answer for a missing bucket and for a missing object. Once the bucket was seen, it is assumed to exist. */
  #bucketSeen = false;

  private constructor(client: GcsClient, location: GcsLocation, options: GcsStoreOptions) {
    super(`gs://${location.bucket}`, location.prefix, options.retry);
    this.#client = client;
    this.#location = location;
    this.#objects = `/storage/v1/b/${encodeURIComponent(location.bucket)}/o`;
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

  async close(): Promise<void> {
    this.#client.close();
  }

  #pathOf(key: string): string {
    return `${this.#objects}/${encodeURIComponent(this.prefix + key)}`;
  }

  /** One request of two parts: what the service shall keep of the object, and its bytes. */
  protected async send(
    key: string,
    body: Uint8Array,
    md5: string,
    { sha256, ifAbsent, signal }: PutOptions,
  ): Promise<void> {
    const { storageClass } = this.#location;
    const about = {
      ...{ name: this.prefix + key, contentType: 'application/octet-stream', md5Hash: md5 },
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

  protected fetch(key: string, headers: Readonly<Record<string, string>>, { signal }: Signal) {
    return this.#client.call({
      method: 'GET',
      path: this.#pathOf(key),
      query: { alt: 'media' },
      headers,
      signal,
    });
  }

  protected async look(key: string, { signal }: Signal): Promise<StoredObject> {
    const query = { fields: 'size,metadata' };
    const answer = await this.#client.json({ method: 'GET', path: this.#pathOf(key), query, signal });
    this.#bucketSeen = true;
    const { size: sizeBytes, metadata } = this.#checked(objectAnswer, answer, 'the answer about an object');
    return { sizeBytes, ...defined({ sha256: metadata?.sha256 }) };
  }

  protected async remove(key: string, { signal }: Signal): Promise<void> {
    await this.#client.json({ method: 'DELETE', path: this.#pathOf(key), signal });
  }

  protected async meaningOf(error: unknown, options: Signal): Promise<Meaning | undefined> {
    if (!(error instanceof GcsFailure)) return undefined;
    if (error.status === 404) {
      await this.#explain(options);
      return 'missing';
    }
    if (error.status === 412) return 'exists';
    if (error.status === 416) return 'past the end';
    return error.status === 400 && /md5|hash/i.test(error.message) ? 'bent' : undefined;
  }

  protected errorOf(error: unknown, what: string): unknown {
    return gcsError(error, what, this.description);
  }

  /** By the header `x-goog-hash`. */
  protected storedMd5({ headers }: IncomingMessage): string | undefined {
    const given = headers['x-goog-hash'];
    return /md5=([A-Za-z0-9+/]{22}==)/.exec(Array.isArray(given) ? given.join() : (given ?? ''))?.[1];
  }

  /** After a 404: a small listing fails where it is the bucket that is missing. */
  async #explain({ signal }: Signal): Promise<void> {
    if (this.#bucketSeen) return;
    const query = { prefix: this.prefix, maxResults: '1', fields: 'nextPageToken' };
    await this.#client.json({ method: 'GET', path: this.#objects, query, signal });
    this.#bucketSeen = true;
  }

  protected async page(
    prefix: string,
    delimiter: string | undefined,
    pageToken: string | undefined,
    { signal }: Signal,
  ): Promise<Page> {
    const fields = 'nextPageToken,prefixes,items(name,size,timeCreated)';
    const query = { prefix, delimiter, pageToken, maxResults: '1000', fields };
    const answer = await this.#client.json({ method: 'GET', path: this.#objects, query, signal });
    const { items = [], prefixes = [], nextPageToken: next } = this.#checked(pageAnswer, answer, 'a listing');
    const objects = items.map(({ name, size: sizeBytes, timeCreated: modifiedAt }) => ({
      ...{ name, sizeBytes, modifiedAt },
    }));
    return { objects, folders: prefixes, next };
  }

  #checked<T>(schema: z.ZodType<T>, answer: unknown, what: string): T {
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    throw this.incomplete(what);
  }

  protected incomplete(what: string): HoldfastError {
    return permanent(
      'STORE_UNSUPPORTED',
      `${this.description} leaves out required members in ${what}.`,
      'Check that the endpoint is Cloud Storage’s JSON API.',
    );
  }
}
