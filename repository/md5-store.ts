import { createHash, hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { defined } from '../model/defined.ts';
import { HoldfastError } from '../model/errors.ts';
import { BucketStore, type Signal } from './bucket-store.ts';
import { bentInTransit } from './connection.ts';
import { checkKey } from './key.ts';
import { Limiter } from './limiter.ts';
import { type ReadObject, readBody } from './read-body.ts';
import { sha256Hex } from './sha256.ts';
import type { Cancellable, GetOptions, HeadOptions, PutOptions, Store, StoredObject } from './store.ts';
import {
  checksumMismatch,
  differenceInSize,
  differenceOf,
  notFound,
  STORE_LOCKED,
  stillLocked,
} from './store-errors.ts';

/** These services have no request that deletes many but one whose parts fail one by one. */
const DELETES_AT_ONCE = 32;

/** What an answer that is not the one hoped for means for the call: the object exists, or doesn't; the bytes changed on the way; the range begins after the end. */
export type Meaning = 'exists' | 'missing' | 'bent' | 'past the end';

/**
 * What the stores have alike whose service knows no SHA-256 (Google Cloud Storage, Azure). The service checks the MD5 of each put, and keeps it. The caller's
 * SHA-256, checked here before anything is sent, stands in the object's metadata.
 */
export abstract class Md5Store extends BucketStore implements Store {
  /** Sends an object, once. @param md5 in base64 */
  protected abstract send(key: string, body: Uint8Array, md5: string, options: PutOptions): Promise<void>;
  protected abstract look(key: string, options: Signal): Promise<StoredObject>;
  protected abstract fetch(
    key: string,
    headers: Readonly<Record<string, string>>,
    options: Signal,
  ): Promise<IncomingMessage>;
  protected abstract remove(key: string, options: Signal): Promise<void>;
  /** The MD5 in base64 that the service keeps of a whole object, by the answer to `fetch`. */
  protected abstract storedMd5(answer: IncomingMessage): string | undefined;
  /** Undefined: the error is a failure. */
  protected abstract meaningOf(error: unknown, options: Signal): Promise<Meaning | undefined>;
  protected abstract incomplete(what: string): HoldfastError;
  abstract close(): Promise<void>;

  async put(key: string, body: Uint8Array, options: PutOptions): Promise<'created' | 'exists'> {
    checkKey(key);
    if (sha256Hex(body) !== options.sha256) throw checksumMismatch(key, this.description);
    const md5 = hash('md5', body, 'base64');
    return this.attempt(`write ${key}`, options, async () => {
      try {
        await this.send(key, body, md5, options);
        return 'created';
      } catch (error) {
        const meaning = await this.meaningOf(error, options);
        if (options.ifAbsent && meaning === 'exists') return 'exists';
        if (meaning === 'bent') throw bentInTransit(key, this.description, error);
        const known = this.errorOf(error, `write ${key}`);
        if (options.ifAbsent && known instanceof HoldfastError && known.code === 'STORE_UNREACHABLE') {
          // The put may have been done, and only its answer was lost. That is found out without sending the body again.
          if ((await this.#look(key, options)) !== undefined) return 'exists';
        }
        throw known;
      }
    });
  }

  async head(key: string, options: HeadOptions = {}): Promise<StoredObject | undefined> {
    checkKey(key);
    const found = await this.attempt(`look at ${key}`, options, () => this.#look(key, options));
    if (found === undefined) return undefined;
    const { sizeBytes, sha256 } = found;
    return { sizeBytes, ...defined({ sha256: options.checksum ? sha256 : undefined }) };
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
          await this.attempt(`delete ${key}`, options, () =>
            this.#unlessMissing(this.remove(key, options), options),
          );
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

  /** The service itself keeps nothing of a put that didn't come whole, or removes it after some days. */
  async discardUnfinished(): Promise<number> {
    return 0;
  }

  protected async read(key: string, options: GetOptions): Promise<ReadObject> {
    const { range, expect, memory } = options;
    const headers = range === undefined ? {} : { range: `bytes=${range.start}-${range.end - 1}` };
    return this.attempt(`read ${key}`, options, async () => {
      let answer: IncomingMessage;
      try {
        answer = await this.fetch(key, headers, options);
      } catch (error) {
        const meaning = await this.meaningOf(error, options);
        if (meaning === 'missing') throw notFound(key, this.description, error);
        if (meaning !== 'past the end') throw error;
        const actual = { sizeBytes: 0, sha256: undefined };
        return { bytes: new Uint8Array(), difference: expect && differenceOf(actual, expect) };
      }
      const announced = Number(answer.headers['content-length'] ?? Number.NaN);
      if (Number.isNaN(announced)) throw this.incomplete('the headers of an object');
      const difference = differenceInSize(announced, options);
      if (difference !== undefined) {
        answer.destroy();
        return { bytes: new Uint8Array(), difference };
      }
      // Where the caller expects nothing, the service's own checksum of the whole is compared.
      const stored = expect === undefined && range === undefined ? this.storedMd5(answer) : undefined;
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

  #look(key: string, options: Signal): Promise<StoredObject | undefined> {
    return this.#unlessMissing(this.look(key, options), options);
  }

  async #unlessMissing<T>(calling: Promise<T>, options: Signal): Promise<T | undefined> {
    try {
      return await calling;
    } catch (error) {
      if ((await this.meaningOf(error, options)) === 'missing') return undefined;
      throw error;
    }
  }
}
