import { z } from 'zod';
import type { SharedObject } from '../../model/tablets.ts';
import { forEachBounded } from '../bounded.ts';
import { INDEX_FOLDER, indexKey } from '../layout.ts';
import { objectEntrySchema } from '../schema.ts';
import { sha256Hex } from '../sha256.ts';
import type { Cancellable, Store } from '../store.ts';
import { isDamage } from '../store-errors.ts';
import { readCondemnations } from './condemned.ts';
import { packJson, unpackJson } from './packed-json.ts';

/** Where the repository has certain bytes. */
export interface StoredRange {
  readonly object: SharedObject;
  /** Bytes from the object's beginning. */
  readonly offset: number;
  /** Key of the index object that lists it. Absent until its writer has written one. */
  readonly index?: string;
}

/** A shared object with its contents. */
export interface IndexedObject extends SharedObject {
  readonly ranges: readonly {
    /** Hex, of the range's bytes. */
    readonly sha256: string;
    readonly offset: number;
    readonly sizeBytes: number;
  }[];
}

const rangesSchema = z.object({
  objects: z.array(
    z.intersection(
      objectEntrySchema,
      z.object({
        ranges: z.array(
          z.object({
            sha256: z.string(),
            offset: z.int().nonnegative(),
            sizeBytes: z.int().nonnegative(),
          }),
        ),
      }),
    ),
  ),
});

const READ_AT_ONCE = 8;

/**
 * Which shared objects contain which bytes, by SHA-256, as one process knows it. The index in the repository consists of many small objects;
 * a task writes one after its data.
 *
 * O2: as long as an index object exists, every object that it names exists; a sweep removes it before the first of them. So one listing of
 * index objects shows whether thousands of remembered files are still stored. If an index object is lost or damaged, its files are sent
 * again.
 */
export class ObjectIndex {
  readonly #store: Store;
  #present: ReadonlySet<string> = new Set();
  #read = new Set<string>();
  readonly #ranges = new Map<string, StoredRange>();
  #reading: Promise<void> | undefined;
  #doomed: ReadonlySet<string> = new Set();
  #seenAt = Number.NEGATIVE_INFINITY;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Lists index objects and condemnations: two listings, or none if another task listed them less than `maxAgeMs` ago. An old list is
   * harmless as long as it is much younger than the grace time: each task reads the condemnations at its end (O3), and so learns what a
   * sweep has deleted since.
   */
  async refresh(options: Cancellable & { readonly maxAgeMs?: number } = {}): Promise<void> {
    const { maxAgeMs = 0, ...cancellable } = options;
    const startedAt = performance.now();
    if (startedAt - this.#seenAt < maxAgeMs) return;
    const before = this.#present;
    const condemnations = await readCondemnations(this.#store, cancellable);
    const present = new Set<string>();
    for await (const { key } of this.#store.list(INDEX_FOLDER, cancellable)) present.add(key);
    // Another slot may have written one since the listing began, which then lacks it.
    for (const key of this.#present) if (!before.has(key)) present.add(key);
    const executed = condemnations.filter(({ verdict }) => verdict === 'executed');
    this.#doomed = new Set(executed.flatMap(({ objects }) => objects));
    this.#present = present;
    this.#seenAt = startedAt;
    if ([...this.#read].every((key) => present.has(key))) return;
    // A sweep has rewritten some index objects. They are read anew when they are needed.
    this.#read = new Set();
    this.#ranges.clear();
  }

  /** True if this index object, and so every object that it names, was there at the last `refresh`. */
  has(key: string): boolean {
    return this.#present.has(key);
  }

  /**
   * Keys of objects that were being deleted at the last `refresh`, or had been deleted shortly before. A delayed delete may still arrive, so
   * these keys must not be used again yet.
   */
  get doomed(): ReadonlySet<string> {
    return this.#doomed;
  }

  /** Where the bytes with this hash are. Undefined where the repository lacks them. Reads index objects that were not read yet. */
  async find(sha256: string, sizeBytes: number, options: Cancellable = {}): Promise<StoredRange | undefined> {
    if (this.#read.size < this.#present.size) await this.#readAll(options);
    return this.#ranges.get(rangeName(sha256, sizeBytes));
  }

  /** Writes an index object for objects that were just stored, and returns its key. */
  async write(objects: readonly IndexedObject[], options: Cancellable = {}): Promise<string> {
    const body = await packJson({ objects });
    const sha256 = sha256Hex(body);
    const key = indexKey(sha256);
    await this.#store.put(key, body, { sha256, ifAbsent: true, ...options });
    this.#present = new Set(this.#present).add(key);
    this.#read.add(key);
    this.#remember(key, objects);
    return key;
  }

  async #readAll(options: Cancellable): Promise<void> {
    // Slots that ask at the same time share one reading, so an abort of the first must not end it.
    this.#reading ??= this.#readMissing().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
    options.signal?.throwIfAborted();
  }

  async #readMissing(): Promise<void> {
    const missing = [...this.#present].filter((key) => !this.#read.has(key));
    await forEachBounded(missing, READ_AT_ONCE, async (key) => {
      const objects = await readIndexObject(this.#store, key);
      this.#read.add(key);
      if (objects !== undefined) this.#remember(key, objects);
    });
  }

  #remember(index: string, objects: readonly IndexedObject[]): void {
    for (const { ranges, ...object } of objects) {
      for (const { sha256, sizeBytes, offset } of ranges) {
        this.#ranges.set(rangeName(sha256, sizeBytes), { object, offset, index });
      }
    }
  }
}

const indexes = new WeakMap<Store, ObjectIndex>();

/** The index of a store as this process knows it, shared by its slots. */
export function indexOf(store: Store): ObjectIndex {
  const known = indexes.get(store) ?? new ObjectIndex(store);
  indexes.set(store, known);
  return known;
}

/** The contents of an index object; undefined where it is damaged or missing. */
export async function readIndexObject(
  store: Store,
  key: string,
  options: Cancellable = {},
): Promise<readonly IndexedObject[] | undefined> {
  const sha256 = key.slice(INDEX_FOLDER.length).split('.', 1)[0];
  try {
    const bytes = await store.get(key, options);
    if (sha256Hex(bytes) !== sha256) return undefined;
    return (await unpackJson(bytes, rangesSchema, key, store.description)).objects;
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}

function rangeName(sha256: string, sizeBytes: number): string {
  return `${sha256}:${sizeBytes}`;
}
