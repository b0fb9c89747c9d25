import { defined } from '../../model/defined.ts';
import { HoldfastError, permanent, recover } from '../../model/errors.ts';
import { sha256Hex } from '../sha256.ts';
import type { Cancellable, GetOptions, Store } from '../store.ts';
import { damaged, isDamage, notFound, STORE_DAMAGED, STORE_NOT_FOUND } from '../store-errors.ts';
import type { OpenKey } from './key-files.ts';
import type { Keyring } from './keyring.ts';
import { classOf } from './object-class.ts';
import {
  contentBytes,
  HEADER_BYTES,
  type ObjectHeader,
  openSpan,
  openTrailer,
  readHeader,
  storedBytes,
  TRAILER_BYTES,
} from './object-frame.ts';
import { notEncrypted, type OpenRepository, placeOf } from './open-repository.ts';
import { chunkSpan } from './stream.ts';

/** How many objects' headers stay in memory, for callers that read many parts of one object. */
const HEADERS_KEPT = 1_000;

/** Reads and opens the objects of an encrypted repository. Keys, sizes and SHA-256s in its calls are those of the contents. */
export class ObjectReader {
  readonly #raw: Store;
  readonly #keyring: Keyring;
  readonly #headers = new Map<string, ObjectHeader>();

  constructor(raw: Store, keyring: Keyring) {
    this.#raw = raw;
    this.#keyring = keyring;
  }

  /** Forgets what is known of an object that is replaced or deleted. */
  forget(key: string): void {
    this.#headers.delete(key);
  }

  /**
   * The contents. Damage counts only if a second read shows it too: the object may have been replaced since its header was read, by the same contents under
   * another data key, and bytes may have changed on the way.
   */
  async get(repository: OpenRepository, key: string, options: GetOptions): Promise<Uint8Array> {
    const read = (): Promise<Uint8Array> =>
      options.range === undefined
        ? this.#getWhole(repository, key, options)
        : this.#getRange(repository, key, options.range, options);
    return await recover(read(), STORE_DAMAGED, () => {
      this.#headers.delete(key);
      return read();
    });
  }

  async #getWhole(repository: OpenRepository, key: string, options: GetOptions): Promise<Uint8Array> {
    const most = options.expect?.sizeBytes ?? options.mostBytes;
    // What is a little larger than expected is read, and told by the sizes of its contents.
    const mostBytes = most === undefined ? undefined : storedBytes(2 * most);
    const stored = await this.#getStored(repository, key, undefined, options, mostBytes);
    const header = readHeader(stored);
    const sizeBytes = contentBytes(stored.length);
    if (header === undefined || sizeBytes === undefined) throw notEncrypted(key, this.#raw.description);
    if (header.sizeBytes !== sizeBytes) throw this.#changed(key);
    const into = options.memory?.(sizeBytes) ?? new Uint8Array(sizeBytes);
    const stream = stored.subarray(HEADER_BYTES, stored.length - TRAILER_BYTES);
    await this.#open(repository, key, header, 0, stream, into, options);
    return into;
  }

  async #getRange(
    repository: OpenRepository,
    key: string,
    range: { readonly start: number; readonly end: number },
    options: GetOptions,
  ): Promise<Uint8Array> {
    const header = await this.header(repository, key, options);
    const start = Math.min(range.start, header.sizeBytes);
    const end = Math.min(range.end, header.sizeBytes);
    const into = options.memory?.(Math.max(0, end - start)) ?? new Uint8Array(Math.max(0, end - start));
    if (end <= start) return into;
    const span = chunkSpan(header.sizeBytes, start, end);
    const place = { start: HEADER_BYTES + span.sealed.start, end: HEADER_BYTES + span.sealed.end };
    const sealed = await this.#getStored(repository, key, place, options);
    const chunks = new Uint8Array(span.contentBytes);
    await this.#open(repository, key, header, span.firstChunk, sealed, chunks, options);
    into.set(chunks.subarray(start - span.offset, end - span.offset));
    return into;
  }

  async #open(
    repository: OpenRepository,
    key: string,
    header: ObjectHeader,
    firstChunk: number,
    sealed: Uint8Array,
    into: Uint8Array,
    options: Cancellable,
  ): Promise<void> {
    const opener = await this.#keyFor(repository, key, header);
    const place = placeOf(repository, key);
    if (await openSpan(opener, place, header, { firstChunk }, sealed, into, options)) return;
    this.#headers.delete(key);
    throw this.#changed(key);
  }

  /** The key that opens an object. Metadata must be under the metadata key; data must be under a data key, and never under one for metadata. */
  async #keyFor({ metadata }: OpenRepository, key: string, { keyId }: ObjectHeader): Promise<OpenKey> {
    if ((classOf(key) === 'metadata') !== (keyId === metadata.id)) throw this.#changed(key);
    if (keyId === metadata.id) return metadata;
    const opener = await this.#keyring.data(keyId);
    if (opener.purpose !== 'data') throw this.#changed(key);
    return opener;
  }

  async header(repository: OpenRepository, key: string, options: Cancellable): Promise<ObjectHeader> {
    const known = this.#headers.get(key);
    if (known !== undefined) return known;
    const range = { start: 0, end: HEADER_BYTES };
    const header = readHeader(await this.#getStored(repository, key, range, options));
    if (header === undefined) throw notEncrypted(key, this.#raw.description);
    const [oldest] = this.#headers.keys();
    if (this.#headers.size >= HEADERS_KEPT && oldest !== undefined) this.#headers.delete(oldest);
    this.#headers.set(key, header);
    return header;
  }

  /**
   * The SHA-256 of the contents, from the object's trailer; the metadata key alone opens that. If the store has no record of what it was given, this
   * reads the stored bytes and compares them with the trailer. If they differ, it returns the SHA-256 of the stored bytes, which no contents have.
   */
  async checksum(
    repository: OpenRepository,
    key: string,
    storedSize: number,
    recorded: string | undefined,
    options: Cancellable,
  ): Promise<string> {
    const place = placeOf(repository, key);
    if (recorded !== undefined) {
      const range = { start: storedSize - TRAILER_BYTES, end: storedSize };
      const trailer = await this.#getStored(repository, key, range, options);
      return openTrailer(repository.metadata, place, trailer)?.contents ?? recorded;
    }
    const stored = await this.#getStored(repository, key, undefined, options);
    const trailerAt = stored.length - TRAILER_BYTES;
    const sums = openTrailer(repository.metadata, place, stored.subarray(Math.max(0, trailerAt)));
    const isWhole = sums !== undefined && sums.sealed === sha256Hex(stored.subarray(0, trailerAt));
    return isWhole ? sums.contents : sha256Hex(stored);
  }

  /** The stored bytes of an object. Its errors name the object by the caller's name. */
  async #getStored(
    { names }: OpenRepository,
    key: string,
    range: { readonly start: number; readonly end: number } | undefined,
    { signal }: Cancellable,
    mostBytes?: number,
  ): Promise<Uint8Array> {
    const stored = names.toStored(key);
    try {
      return await this.#raw.get(stored, {
        ...defined({ range, signal, mostBytes }),
      });
    } catch (error) {
      if (!(error instanceof HoldfastError) || !isDamage(error)) throw error;
      if (error.code === STORE_NOT_FOUND) throw notFound(key, this.#raw.description, error);
      throw permanent(error.code, error.message.replaceAll(stored, key), error.remedy, error);
    }
  }

  #changed(key: string): HoldfastError {
    return damaged(key, this.#raw.description, 'its bytes are not those that were encrypted under this name');
  }
}
