import type { DataObject, ObjectEntry, TaskResult } from '../model/backup.ts';
import { indexOf, type StoredRange } from '../repository/objects/object-index.ts';
import { SharedObjectWriter } from '../repository/objects/object-writer.ts';
import type { Store } from '../repository/store.ts';
import { PackWriter, PIECE_BYTES, type PlacedPiece } from './pack-writer.ts';

/** How long consecutive tasks share what one of them read of the index. */
const INDEX_MAX_AGE_MS = 30_000;

interface SharingContext {
  readonly store: Store;
  readonly signal: AbortSignal;
  /** 1 for the first try. */
  readonly attempt: number;
}

/** Where a part lies; without `at` it is the whole of its key. */
type PlacedPart = Pick<DataObject, 'key'> & Partial<PlacedPiece>;

/**
 * Stores the parts of one task as shared objects: each once, whichever tables, backups and plans of the repository have the same bytes. Small new parts go
 * into a pack. The order is that of `SharedObjectWriter` (O1, O3): the caller writes the task's result once `finish` has returned.
 *
 * Holds one pack in memory (8 MiB), and for each part of the task its place.
 */
export class SharedParts {
  readonly #signal: AbortSignal;
  readonly #writer: SharedObjectWriter;
  readonly #packs: PackWriter;
  /** By hash and size, so that equal parts of the task are stored once. */
  readonly #placed = new Map<string, PlacedPart>();
  /** Packs of earlier tasks that hold parts of this one, by key. */
  readonly #foundPacks = new Map<string, ObjectEntry>();
  #newBytes = 0;

  private constructor(writer: SharedObjectWriter, signal: AbortSignal) {
    this.#writer = writer;
    this.#signal = signal;
    this.#packs = new PackWriter(async ({ body, sha256, pieces }) => {
      const [range] = await writer.putObject({ body, sha256 }, pieces, { signal });
      if (range === undefined) throw new RangeError('a pack without pieces was put');
      this.#newBytes += body.length;
      return range.object.key;
    });
  }

  /** A retry may be due to a sweep that deleted an object meanwhile, so it reads the index anew. Throws what the store throws. */
  static async open({ store, signal, attempt }: SharingContext): Promise<SharedParts> {
    const indexMaxAgeMs = attempt > 1 ? 0 : INDEX_MAX_AGE_MS;
    const writer = await SharedObjectWriter.open(store, indexOf(store), { signal, indexMaxAgeMs });
    return new SharedParts(writer, signal);
  }

  /**
   * Finds a part in the repository, or stores it; wait for each before the next. `body` may be reused afterwards. The key of a part that goes into a pack is
   * provisional until `finish`.
   */
  async add(body: Uint8Array, sha256: string): Promise<PlacedPart> {
    const name = `${sha256}:${body.length}`;
    const placed = this.#placed.get(name) ?? (await this.#place(body, sha256));
    this.#placed.set(name, placed);
    return placed;
  }

  /**
   * Puts the last pack, then the index of what was stored, and keeps sweeps from deleting what the task relies on. Returns the task's objects with their
   * final keys. Throws `OBJECTS_SWEPT` (transient) where a sweep was faster; the next attempt sends those bytes again.
   */
  async finish(provisional: readonly DataObject[]): Promise<Omit<TaskResult, 'index'>> {
    const { objects, packs: own = [] } = await this.#packs.finish(provisional);
    const packs = [...this.#foundPacks.values(), ...own];
    const sizes = new Map(packs.map(({ key, sizeBytes }) => [key, sizeBytes]));
    const normal = objects.map((object): DataObject => {
      // A pack of a single part is that part.
      const { at, ...whole } = object;
      return at === 0 && sizes.get(object.key) === object.sizeBytes ? whole : object;
    });
    await this.#writer.finish(new Set(normal.map(({ key }) => key)), { signal: this.#signal });
    const named = new Set(normal.filter(({ at }) => at !== undefined).map(({ key }) => key));
    const needed = packs.filter(({ key }) => named.has(key));
    return { objects: normal, ...(needed.length === 0 ? {} : { packs: needed }), newBytes: this.#newBytes };
  }

  /** Returns the memory, for the next task. */
  release(): void {
    this.#packs.release();
  }

  async #place(body: Uint8Array, sha256: string): Promise<PlacedPart> {
    const options = { signal: this.#signal };
    const found = await this.#writer.find(sha256, body.length, options);
    if (found !== undefined) return this.#placeOf(found, body.length);
    if (body.length <= PIECE_BYTES) return await this.#packs.add(body, sha256);
    const [stored] = await this.#writer.put([{ body, sha256 }], options);
    if (stored === undefined) throw new RangeError('an object without contents was put');
    this.#newBytes += body.length;
    return this.#placeOf(stored, body.length);
  }

  #placeOf({ object, offset }: StoredRange, sizeBytes: number): PlacedPart {
    if (object.sizeBytes === sizeBytes) return { key: object.key };
    this.#foundPacks.set(object.key, {
      key: object.key,
      sizeBytes: object.sizeBytes,
      sha256: object.sha256,
    });
    return { key: object.key, at: offset };
  }
}
