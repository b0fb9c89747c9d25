import { randomBytes } from 'node:crypto';
import { transient } from '../../model/errors.ts';
import type { SharedObject } from '../../model/tablets.ts';
import { sharedObjectKey } from '../layout.ts';
import { sha256Hex } from '../sha256.ts';
import type { Cancellable, Store } from '../store.ts';
import { spare } from './condemned.ts';
import type { IndexedObject, ObjectIndex, StoredRange } from './object-index.ts';

/** Smaller files are put together into packs of about this size, since a request costs more than a small file's bytes. */
export const PACK_BYTES = 8 * 1024 * 1024;
/** A file of at least this size is an object of its own. */
export const ALONE_BYTES = 2 * 1024 * 1024;
/** Larger files are cut into parts of this size, each an object. A crash costs one part, and a slot holds one part in memory. */
export const PART_BYTES = 32 * 1024 * 1024;

/** Bytes to be stored, with their hash. */
export interface Piece {
  readonly body: Uint8Array;
  /** Hex, of `body`. */
  readonly sha256: string;
}

/**
 * Stores pieces of files as shared objects for one task. The order (O1): first objects, then the index object that lists them,
 * then whatever relies on them. The caller may write the latter once `finish` has returned.
 */
export class SharedObjectWriter {
  readonly #store: Store;
  readonly #index: ObjectIndex;
  /** `ObjectIndex.doomed` at the beginning of this task. */
  readonly #doomed: ReadonlySet<string>;
  readonly #written = new Map<
    string,
    SharedObject & { readonly ranges: IndexedObject['ranges'][number][] }
  >();

  private constructor(store: Store, index: ObjectIndex) {
    this.#store = store;
    this.#index = index;
    this.#doomed = index.doomed;
  }

  /** Makes two listings, whatever the number of files. @param options.indexMaxAgeMs may save them: see `ObjectIndex.refresh` */
  static async open(
    store: Store,
    index: ObjectIndex,
    options: Cancellable & { readonly indexMaxAgeMs?: number } = {},
  ): Promise<SharedObjectWriter> {
    const { indexMaxAgeMs = 0, ...cancellable } = options;
    await index.refresh({ ...cancellable, maxAgeMs: indexMaxAgeMs });
    return new SharedObjectWriter(store, index);
  }

  /** False if a range that was stored earlier is gone, or is being deleted. Of one that no index names yet, only the latter is known. */
  vouchesFor({ object, index }: StoredRange): boolean {
    return (index === undefined || this.#index.has(index)) && !this.#doomed.has(object.key);
  }

  /** Where these bytes are already. Undefined where they must be sent. */
  async find(sha256: string, sizeBytes: number, options: Cancellable = {}): Promise<StoredRange | undefined> {
    const found = await this.#index.find(sha256, sizeBytes, options);
    return found === undefined || this.#doomed.has(found.object.key) ? undefined : found;
  }

  /** Takes over what an earlier attempt of this task stored before it died without an index. */
  adopt(
    ranges: readonly { readonly range: StoredRange; readonly sha256: string; readonly sizeBytes: number }[],
  ) {
    for (const { range, sha256, sizeBytes } of ranges) {
      this.#note(range.object, { sha256, sizeBytes, offset: range.offset });
    }
  }

  /** Stores pieces as one object. Several make a pack: their bytes one after another. Returns where each piece is. */
  async put(pieces: readonly Piece[], options: Cancellable = {}): Promise<readonly StoredRange[]> {
    const [only] = pieces;
    const single = pieces.length === 1 && only !== undefined ? only : undefined;
    const body = single?.body ?? Buffer.concat(pieces.map((piece) => piece.body));
    const contents = pieces.map(({ body: { byteLength }, sha256 }) => ({ sizeBytes: byteLength, sha256 }));
    return await this.putObject({ body, sha256: single?.sha256 ?? sha256Hex(body) }, contents, options);
  }

  /** Stores an object whose bytes are those of `contents`, one after another. Returns where each of them is. */
  async putObject(
    { body, sha256 }: Piece,
    contents: readonly { readonly sizeBytes: number; readonly sha256: string }[],
    options: Cancellable = {},
  ): Promise<readonly StoredRange[]> {
    const plain = sharedObjectKey(sha256);
    const key = this.#doomed.has(plain) ? sharedObjectKey(sha256, randomBytes(4).toString('hex')) : plain;
    await this.#store.put(key, body, { sha256, ifAbsent: true, ...options });
    const object: SharedObject = { key, sizeBytes: body.byteLength, sha256 };
    let offset = 0;
    return contents.map((piece) => {
      const range = { object, offset };
      this.#note(object, { ...piece, offset });
      offset += piece.sizeBytes;
      return range;
    });
  }

  /**
   * Writes the index of what was stored, and makes sure that everything that the caller will rely on stays.
   *
   * @param relied keys of all objects that the task's result names
   * @returns the index object's key, undefined where nothing was stored
   * Throws `OBJECTS_SWEPT` (transient) where a sweep was faster; the next attempt sends those bytes again.
   */
  async finish(relied: ReadonlySet<string>, options: Cancellable = {}): Promise<string | undefined> {
    const written = [...this.#written.values()];
    const index = written.length === 0 ? undefined : await this.#index.write(written, options);
    await relyOn(this.#store, relied, options);
    return index;
  }

  #note(object: SharedObject, range: IndexedObject['ranges'][number]): void {
    const known = this.#written.get(object.key);
    if (known === undefined) this.#written.set(object.key, { ...object, ranges: [range] });
    else known.ranges.push(range);
  }
}

/**
 * O3: keeps these objects from being deleted. Throws `OBJECTS_SWEPT` (transient) where some of them are already being deleted.
 */
export async function relyOn(
  store: Store,
  objects: ReadonlySet<string>,
  options: Cancellable = {},
): Promise<void> {
  const lost = await spare(store, objects, options);
  const [first] = lost;
  if (first === undefined) return;
  throw transient(
    'OBJECTS_SWEPT',
    `A clean-up of ${store.description} is deleting ${lost.size} objects that were needed again, the first being ${first}.`,
    'They are sent again under other names.',
  );
}
