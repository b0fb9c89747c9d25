import {
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { defined } from '../../model/defined.ts';
import { HoldfastError, permanent } from '../../model/errors.ts';
import type { S3Location } from '../../model/pipeline.ts';
import { DAY_MS } from '../../model/time.ts';
import { BucketStore, type Page, type Signal } from '../bucket-store.ts';
import { bentInTransit, DEFAULT_TIMEOUTS, type SecretResolver, type Timeouts } from '../connection.ts';
import { checkKey, isKey } from '../key.ts';
import { type ReadObject, readBody } from '../read-body.ts';
import type { RetryLimits } from '../retry.ts';
import { base64ToHex, hexToBase64, sha256Hex } from '../sha256.ts';
import type {
  Cancellable,
  GetOptions,
  HeadOptions,
  LostObject,
  PutOptions,
  Store,
  StoredObject,
  StoreLocks,
  StoreVersions,
} from '../store.ts';
import {
  checksumMismatch,
  differenceInSize,
  differenceOf,
  listingGoesNowhere,
  notFound,
  STORE_LOCKED,
  stillLocked,
} from '../store-errors.ts';
import { bodyOf } from './body.ts';
import { createS3Client } from './client.ts';
import { httpStatusOf, s3Error, s3ErrorName } from './errors.ts';
import { holdLock } from './locks.ts';
import { abortStaleUploads, putInParts } from './multipart.ts';
import { lockSettings, type ObjectSettings, objectSettings } from './settings.ts';
import { copyVersion, lossOf, versionPages, versionsByKey } from './versions.ts';

/** Larger objects are sent in parts. S3 then has no checksum of the whole (its SHA-256 is composite). */
const DEFAULT_PART_BYTES = 128 * 1024 * 1024;
/** Most keys that one DeleteObjects takes. */
const DELETE_BATCH = 1000;

/** Settings of a store. All have a default. */
export interface S3StoreOptions {
  readonly retry?: RetryLimits;
  readonly timeouts?: Timeouts;
  /** At least 5 MiB (S3's own limit). */
  readonly partBytes?: number;
  /** The clock from which a lock's end is computed. Default: this machine's. */
  readonly now?: () => Date;
}

/**
 * Objects in an S3 bucket under a prefix. Every put carries the caller's SHA-256, which S3 checks, keeps and returns later.
 * `ifAbsent` is `If-None-Match: *`.
 */
export class S3Store extends BucketStore implements Store {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #location: S3Location;
  readonly #settings: ObjectSettings;
  readonly #partBytes: number;
  readonly #now: () => Date;
  /** A HEAD can't tell a missing bucket from a missing object. Once the bucket was seen, it is assumed to exist. */
  #bucketSeen = false;

  private constructor(client: S3Client, location: S3Location, options: S3StoreOptions) {
    super(`s3://${location.bucket}`, location.prefix, options.retry);
    this.#client = client;
    this.#bucket = location.bucket;
    this.#location = location;
    this.#settings = objectSettings(location);
    this.#partBytes = options.partBytes ?? DEFAULT_PART_BYTES;
    this.#now = options.now ?? (() => new Date());
  }

  /** Resolves the credentials. Makes no request yet. */
  static async open(
    location: S3Location,
    secret: SecretResolver,
    options: S3StoreOptions = {},
  ): Promise<S3Store> {
    const client = await createS3Client(location, secret, options.timeouts ?? DEFAULT_TIMEOUTS);
    return new S3Store(client, location, options);
  }

  async put(key: string, body: Uint8Array, options: PutOptions): Promise<'created' | 'exists'> {
    checkKey(key);
    return this.attempt(`write ${key}`, options, async () => {
      try {
        await this.#send(key, body, options);
        return 'created';
      } catch (error) {
        // 412: another writer was first. 409 (another write at the same moment) is transient: the retry finds out.
        if (options.ifAbsent && s3ErrorName(error) === 'PreconditionFailed') {
          const isThere =
            options.sameContents !== true || (await this.#head(key, { signal: options.signal }));
          if (isThere) return 'exists';
          // There is only the marker of a deletion, which versitygw 1.8.0 takes for an object. Any other writer of this key writes the same.
          await this.#send(key, body, { ...options, ifAbsent: false });
          return 'created';
        }
        if (options.ifAbsent && isLocked(s3Error(error, '', ''))) return 'exists';
        if (isRefusedHash(error)) throw this.#hashError(key, body, options.sha256, error);
        const known = s3Error(error, `write ${key}`, this.description);
        if (known instanceof HoldfastError && known.code === 'STORE_UNREACHABLE') {
          // The store may have answered (it exists, no such bucket, denied) and hung up before the body was sent, so that its answer was
          // lost. Or it did the put, and only its answer was lost. A HEAD finds out without sending the body again.
          const found = await this.#head(key, { signal: options.signal });
          if (options.ifAbsent && found !== undefined) return 'exists';
        }
        throw known;
      }
    });
  }

  async head(key: string, options: HeadOptions = {}): Promise<StoredObject | undefined> {
    checkKey(key);
    return this.attempt(`look at ${key}`, options, () => this.#head(key, options));
  }

  async delete(keys: readonly string[], options: Cancellable = {}): Promise<void> {
    for (const key of keys) checkKey(key);
    const locked = new Set<string>();
    for (let start = 0; start < keys.length; start += DELETE_BATCH) {
      const batch = keys.slice(start, start + DELETE_BATCH);
      await this.attempt(`delete ${batch.length} objects`, options, async () => {
        const answer = await this.#client.send(
          new DeleteObjectsCommand({
            Bucket: this.#bucket,
            Delete: { Quiet: true, Objects: batch.map((key) => ({ Key: this.prefix + key })) },
          }),
          aborting(options),
        );
        // S3 answers 200 for the batch and lists here what it did not delete. The codes mean the same as in an error answer.
        for (const { Code: name = 'UnknownError', Message, Key = '' } of answer.Errors ?? []) {
          if (name === 'NoSuchKey') continue;
          const key = Key.slice(this.prefix.length);
          const failure = Object.assign(new Error(Message ?? name), {
            name,
            $metadata: { httpStatusCode: 400 },
          });
          const error = s3Error(failure, `delete ${key === '' ? 'an object' : key}`, this.description);
          if (!isLocked(error)) throw error;
          locked.add(key);
        }
      });
    }
    const [first] = locked;
    if (first === undefined) return;
    // All other keys are deleted by now.
    const found = await this.head(first, options);
    throw stillLocked([...locked], found?.lockedUntil, this.description);
  }

  async discardUnfinished(options: Cancellable & { readonly olderThanMs: number }): Promise<number> {
    const startedBefore = new Date(Date.now() - options.olderThanMs);
    return this.attempt('discard unfinished uploads', options, () =>
      abortStaleUploads(this.#client, {
        bucket: this.#bucket,
        prefix: this.prefix,
        description: this.description,
        startedBefore,
        ...aborting(options),
      }),
    );
  }

  get locks(): StoreLocks | undefined {
    const { objectLock } = this.#location;
    if (objectLock === undefined) return undefined;
    return {
      forMs: objectLock.days * DAY_MS,
      now: this.#now,
      hold: (key, term, options = {}) => {
        checkKey(key);
        const target = { Bucket: this.#bucket, Key: this.prefix + key };
        return this.attempt(`extend the lock of ${key}`, options, () =>
          holdLock(this.#client, target, objectLock.mode, term, aborting(options)),
        );
      },
    };
  }

  readonly versions: StoreVersions = {
    lostSince: (since, options = {}) => this.#lostSince(since, options),
    putBack: async (lost, options = {}) => {
      checkKey(lost.key);
      const target = { Bucket: this.#bucket, Key: this.prefix + lost.key };
      const settings = { ...this.#settings, ...lockSettings(this.#location, lost.key, this.#now()) };
      await this.attempt(`put ${lost.key} back`, options, () =>
        copyVersion(this.#client, target, lost.version, settings, aborting(options)),
      );
    },
  };

  async *#lostSince(
    since: Date,
    options: { readonly signal?: AbortSignal | undefined },
  ): AsyncGenerator<LostObject> {
    const { description } = this;
    const place = { bucket: this.#bucket, prefix: this.prefix, description };
    const pages = versionPages(this.#client, place, (request) =>
      this.attempt('list versions', options, request),
    );
    for await (const versions of versionsByKey(pages)) {
      const lost = lossOf(versions, since);
      const key = lost?.key.slice(this.prefix.length) ?? '';
      if (lost !== undefined && isKey(key)) yield { ...lost, key };
    }
  }

  async close(): Promise<void> {
    this.#client.destroy();
  }

  async #send(key: string, body: Uint8Array, options: PutOptions): Promise<void> {
    const target = {
      Bucket: this.#bucket,
      Key: this.prefix + key,
      ...this.#settings,
      ...lockSettings(this.#location, key, this.#now()),
    };
    if (body.byteLength > this.#partBytes) {
      await putInParts(this.#client, target, body, {
        partBytes: this.#partBytes,
        ifAbsent: options.ifAbsent,
        retryPart: (send) => this.attempt(`write a part of ${key}`, options, send),
        ...aborting(options),
      });
      return;
    }
    const command = new PutObjectCommand({
      ...target,
      Body: body,
      ChecksumSHA256: hexToBase64(options.sha256),
      ...(options.ifAbsent ? { IfNoneMatch: '*' } : {}),
    });
    await this.#client.send(command, aborting(options));
  }

  protected async read(key: string, options: GetOptions): Promise<ReadObject> {
    const { range, expect, memory } = options;
    return this.attempt(`read ${key}`, options, async () => {
      const command = new GetObjectCommand({
        Bucket: this.#bucket,
        Key: this.prefix + key,
        ...(range === undefined ? {} : { Range: `bytes=${range.start}-${range.end - 1}` }),
      });
      try {
        const answer = await this.#client.send(command, aborting(options));
        const difference = differenceInSize(answer.ContentLength, options);
        if (difference !== undefined) {
          bodyOf(answer)?.destroy();
          return { bytes: new Uint8Array(), difference };
        }
        const { bytes, sha256 } = await readBody(bodyOf(answer), answer.ContentLength ?? 0, memory);
        const stored = range === undefined ? wholeChecksum(answer) : undefined;
        const sizeBytes = bytes.byteLength;
        const expected = expect ?? { sizeBytes, sha256: stored ?? sha256 };
        return { bytes, difference: differenceOf({ sizeBytes, sha256 }, expected) };
      } catch (error) {
        if (s3ErrorName(error) === 'NoSuchKey') throw notFound(key, this.description, error);
        // The range begins at or after the end of the object, so the result is empty.
        if (httpStatusOf(error) === 416) {
          const sizeBytes = 0;
          const actual = { sizeBytes, sha256: undefined };
          return {
            bytes: new Uint8Array(),
            difference: expect === undefined ? undefined : differenceOf(actual, expect),
          };
        }
        throw error;
      }
    });
  }

  async #head(
    key: string,
    options: { readonly checksum?: boolean; readonly signal?: AbortSignal | undefined },
  ): Promise<StoredObject | undefined> {
    const command = new HeadObjectCommand({
      Bucket: this.#bucket,
      Key: this.prefix + key,
      ...(options.checksum === true ? { ChecksumMode: 'ENABLED' } : {}),
    });
    try {
      const answer = await this.#client.send(command, aborting(options));
      this.#bucketSeen = true;
      if (answer.ContentLength === undefined) throw this.#incomplete(`the answer about ${key}`);
      const sha256 = options.checksum === true ? wholeChecksum(answer) : undefined;
      const lockedUntil = answer.ObjectLockRetainUntilDate;
      return {
        sizeBytes: answer.ContentLength,
        ...defined({ sha256, lockedUntil }),
      };
    } catch (error) {
      const status = httpStatusOf(error);
      if (status === 404 && this.#bucketSeen) return undefined;
      // An answer to HEAD has no body and so no error code. A small listing fails for the same reason, and gives the code.
      if (status >= 300 && status < 500) await this.#explain(options);
      if (status === 404) return undefined;
      throw error;
    }
  }

  async #explain(options: { readonly signal?: AbortSignal | undefined }): Promise<void> {
    await this.#client.send(
      new ListObjectsV2Command({ Bucket: this.#bucket, Prefix: this.prefix, MaxKeys: 1 }),
      aborting(options),
    );
    this.#bucketSeen = true;
  }

  protected async page(
    prefix: string,
    delimiter: string | undefined,
    from: string | undefined,
    options: Signal,
  ): Promise<Page> {
    const answer: ListObjectsV2CommandOutput = await this.#client.send(
      new ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix: prefix,
        ...defined({ Delimiter: delimiter, ContinuationToken: from }),
      }),
      aborting(options),
    );
    const next = answer.IsTruncated === true ? answer.NextContinuationToken : undefined;
    if (answer.IsTruncated === true && next === undefined) throw listingGoesNowhere(this.description);
    const objects = (answer.Contents ?? []).map(({ Key, Size, LastModified }) => {
      if (Key === undefined || Size === undefined || LastModified === undefined)
        throw this.#incomplete('a listing');
      return { name: Key, sizeBytes: Size, modifiedAt: LastModified };
    });
    const folders = (answer.CommonPrefixes ?? []).map(({ Prefix }) => {
      if (Prefix === undefined) throw this.#incomplete('a listing');
      return Prefix;
    });
    return { objects, folders, next };
  }

  /**
   * The error for a refused checksum. It is the caller's mistake only if the bytes here don't match it. Otherwise they changed on the way.
   */
  #hashError(key: string, body: Uint8Array, sha256: string, cause: unknown): HoldfastError {
    if (sha256Hex(body) !== sha256) return checksumMismatch(key, this.description, cause);
    return bentInTransit(key, this.description, cause);
  }

  #incomplete(what: string): HoldfastError {
    return permanent(
      'STORE_UNSUPPORTED',
      `${this.description} leaves out required members in ${what}.`,
      'Check that the endpoint is an S3 API (ListObjectsV2, HeadObject).',
    );
  }

  protected errorOf(error: unknown, what: string): unknown {
    return s3Error(error, what, this.description);
  }
}

/** The stored SHA-256 in hex, if it is that of the whole object and not of its parts. */
function wholeChecksum(answer: {
  readonly ChecksumSHA256?: string | undefined;
  readonly ChecksumType?: string | undefined;
}): string | undefined {
  const { ChecksumSHA256, ChecksumType } = answer;
  // A composite checksum ends in `-<number of parts>`; some stores leave the type out.
  if (ChecksumSHA256 === undefined || ChecksumType === 'COMPOSITE' || ChecksumSHA256.includes('-'))
    return undefined;
  return base64ToHex(ChecksumSHA256);
}

function isLocked(error: unknown): boolean {
  return error instanceof HoldfastError && error.code === STORE_LOCKED;
}

function isRefusedHash(error: unknown): boolean {
  const name = s3ErrorName(error);
  return name === 'BadDigest' || name === 'InvalidDigest' || name?.startsWith('XAmzContent') === true;
}

function aborting(options: { readonly signal?: AbortSignal | undefined }): { abortSignal?: AbortSignal } {
  return defined({ abortSignal: options.signal });
}
