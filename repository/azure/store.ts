import { hash, randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { defined } from '../../model/defined.ts';
import { type HoldfastError, permanent } from '../../model/errors.ts';
import type { AzureLocation } from '../../model/pipeline.ts';
import type { Page, Signal } from '../bucket-store.ts';
import { bentInTransit, DEFAULT_TIMEOUTS, type SecretResolver, type Timeouts } from '../connection.ts';
import { Md5Store, type Meaning } from '../md5-store.ts';
import type { RetryLimits } from '../retry.ts';
import type { PutOptions, StoredObject } from '../store.ts';
import { AzureClient } from './client.ts';
import { AzureFailure, azureError } from './errors.ts';
import { elements, firstElement, nameIn } from './xml.ts';

/** Larger objects are sent in blocks, so that a lost connection costs only one of them. */
const DEFAULT_BLOCK_BYTES = 64 * 1024 * 1024;

const MEANINGS: ReadonlyMap<string, Meaning> = new Map([
  ['BlobAlreadyExists', 'exists'],
  ['ConditionNotMet', 'exists'],
  // A signature that may create and not write. The other three: what can't be written over is there.
  ['UnauthorizedBlobOverwrite', 'exists'],
  ['BlobImmutableDueToPolicy', 'exists'],
  ['BlobImmutableDueToLegalHold', 'exists'],
  ['BlobNotFound', 'missing'],
  ['Md5Mismatch', 'bent'],
  ['InvalidRange', 'past the end'],
]);

/** Settings of a store. All have a default. */
export interface AzureStoreOptions {
  readonly retry?: RetryLimits;
  readonly timeouts?: Timeouts;
  /** At most 4,000 MiB (Azure's own limit). */
  readonly blockBytes?: number;
}

/** Block blobs in a container of Azure Blob Storage under a prefix. `ifAbsent` is `If-None-Match: *`. */
export class AzureStore extends Md5Store {
  readonly #client: AzureClient;
  readonly #blockBytes: number;
  readonly #settings: Readonly<Record<string, string>>;

  private constructor(client: AzureClient, location: AzureLocation, options: AzureStoreOptions) {
    super(`azure://${location.account}/${location.container}`, location.prefix, options.retry);
    this.#client = client;
    this.#blockBytes = options.blockBytes ?? DEFAULT_BLOCK_BYTES;
    this.#settings = defined({ 'x-ms-access-tier': location.accessTier });
  }

  /** Resolves the credentials. Makes no request yet. Throws `STORE_NO_LIBRARY` and `STORE_CREDENTIALS` (permanent). */
  static async open(
    location: AzureLocation,
    secret: SecretResolver,
    options: AzureStoreOptions = {},
  ): Promise<AzureStore> {
    const client = await AzureClient.open(location, secret, options.timeouts ?? DEFAULT_TIMEOUTS);
    return new AzureStore(client, location, options);
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  protected async send(key: string, body: Uint8Array, md5: string, options: PutOptions): Promise<void> {
    const about = {
      ...{ ...this.#settings, 'x-ms-blob-content-md5': md5, 'x-ms-meta-sha256': options.sha256 },
      ...(options.ifAbsent ? { 'if-none-match': '*' } : {}),
    };
    if (body.byteLength > this.#blockBytes) return this.#sendBlocks(key, body, about, options);
    const headers = { ...about, 'x-ms-blob-type': 'BlockBlob', 'content-md5': md5 };
    await this.#put(key, {}, headers, body, options);
  }

  /**
   * Sends blocks one after another, since slots already run in parallel, and then the list of them: with that the blob appears. Blocks of a put that ends before are
   * no part of any blob, and Azure removes them a week later. Their names are this put's own, since blocks of all writers of a blob are in one place.
   */
  async #sendBlocks(
    key: string,
    body: Uint8Array,
    about: Readonly<Record<string, string>>,
    options: PutOptions,
  ): Promise<void> {
    const put = randomUUID();
    const blocks: string[] = [];
    for (let start = 0; start < body.byteLength; start += this.#blockBytes) {
      const block = body.subarray(start, start + this.#blockBytes);
      // All names of blocks of a blob have one length.
      const blockid = Buffer.from(`${put}-${String(blocks.length).padStart(6, '0')}`).toString('base64');
      const headers = { 'content-md5': hash('md5', block, 'base64') };
      await this.attempt(`write a block of ${key}`, options, async () => {
        try {
          await this.#put(key, { comp: 'block', blockid }, headers, block, options);
        } catch (error) {
          const isBent = (await this.meaningOf(error)) === 'bent';
          throw isBent ? bentInTransit(key, this.description, error) : error;
        }
      });
      blocks.push(`<Uncommitted>${blockid}</Uncommitted>`);
    }
    const list = Buffer.from(
      `<?xml version="1.0" encoding="utf-8"?><BlockList>${blocks.join('')}</BlockList>`,
    );
    await this.#put(key, { comp: 'blocklist' }, about, list, options);
  }

  async #put(
    key: string,
    query: Readonly<Record<string, string>>,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array,
    { signal }: Signal,
  ): Promise<void> {
    const type = { 'content-type': 'application/octet-stream' };
    const call = { path: this.#pathOf(key), query, headers: { ...type, ...headers }, body: [body], signal };
    await this.#client.text({ method: 'PUT', ...call });
  }

  protected fetch(key: string, headers: Readonly<Record<string, string>>, { signal }: Signal) {
    return this.#client.call({ method: 'GET', path: this.#pathOf(key), headers, signal });
  }

  protected async look(key: string, { signal }: Signal): Promise<StoredObject> {
    const answer = await this.#client.call({ method: 'HEAD', path: this.#pathOf(key), signal });
    answer.resume();
    const { 'content-length': size, 'x-ms-meta-sha256': noted } = answer.headers;
    if (size === undefined) throw this.incomplete('the answer about an object');
    const sha256 = typeof noted === 'string' && /^[0-9a-f]{64}$/.test(noted) ? noted : undefined;
    return { sizeBytes: Number(size), ...defined({ sha256 }) };
  }

  protected async remove(key: string, { signal }: Signal): Promise<void> {
    // Snapshots that somebody took of it would else have it refused.
    const headers = { 'x-ms-delete-snapshots': 'include' };
    await this.#client.text({ method: 'DELETE', path: this.#pathOf(key), headers, signal });
  }

  protected storedMd5({ headers }: IncomingMessage): string | undefined {
    const md5 = headers['content-md5'];
    return typeof md5 === 'string' ? md5 : undefined;
  }

  protected async meaningOf(error: unknown): Promise<Meaning | undefined> {
    return error instanceof AzureFailure ? MEANINGS.get(error.code) : undefined;
  }

  protected errorOf(error: unknown, what: string): unknown {
    return azureError(error, what, this.description);
  }

  protected async page(
    prefix: string,
    delimiter: string | undefined,
    marker: string | undefined,
    { signal }: Signal,
  ): Promise<Page> {
    const query = { restype: 'container', comp: 'list', maxresults: '1000', prefix, delimiter, marker };
    const xml = await this.#client.text({ method: 'GET', path: '', query, signal });
    if (!xml.trimEnd().endsWith('</EnumerationResults>')) throw new AzureFailure(200, undefined, xml);
    const objects = elements(xml, 'Blob').map((blob) => {
      const name = nameIn(blob);
      const sizeBytes = Number(firstElement(blob, 'Content-Length') ?? Number.NaN);
      const modifiedAt = new Date(firstElement(blob, 'Last-Modified') ?? Number.NaN);
      if (name === undefined || Number.isNaN(sizeBytes) || Number.isNaN(modifiedAt.getTime()))
        throw this.incomplete('a listing');
      return { name, sizeBytes, modifiedAt };
    });
    const folders = elements(xml, 'BlobPrefix').map((folder) => {
      const name = nameIn(folder);
      if (name === undefined) throw this.incomplete('a listing');
      return name;
    });
    return { objects, folders, next: firstElement(xml, 'NextMarker') };
  }

  protected incomplete(what: string): HoldfastError {
    return permanent(
      'STORE_UNSUPPORTED',
      `${this.description} leaves out required members in ${what}.`,
      'Check that the endpoint is the blob service of a storage account.',
    );
  }

  #pathOf(key: string): string {
    return `/${(this.prefix + key).split('/').map(encodeURIComponent).join('/')}`;
  }
}
