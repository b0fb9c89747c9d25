import { createHash } from 'node:crypto';
import type { DataObject, ObjectEntry, ReadPoint } from '../model/backup.ts';
import type { Store } from '../repository/store.ts';
import { borrowMemory, returnMemory } from './threads/shared-memory.ts';

/** Parts of more stored bytes than this become objects of their own. */
export const PIECE_BYTES = 1024 * 1024;
/** A pack is closed before it outgrows this, so it bounds what a task holds of its pack. */
const PACK_BYTES = 8 * 1024 * 1024;

/** Where packs are put: keys begin with `folder`. */
export interface PackPlace {
  readonly store: Pick<Store, 'put'>;
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** Where a piece lies. Until `PackWriter.finish` its key is provisional, since a pack's name contains the SHA-256 of the whole pack. */
export type PlacedPiece = Required<Pick<DataObject, 'key' | 'at'>>;

/**
 * Joins the small parts of a task into packs, and stores each pack with one put. A pack's name contains its hash, so two attempts at a task that
 * read the same bytes write the same object. If they wrote two objects, the task's result names one of them (M4, O1).
 */
export class PackWriter {
  readonly #place: PackPlace;
  readonly #prefix: string;
  readonly #packBytes: number;
  readonly #memory = borrowMemory();
  #length = 0;
  #hash = createHash('sha256');
  /** By provisional key. */
  readonly #stored = new Map<string, ObjectEntry>();

  /** @param packBytes a pack is closed before it outgrows this */
  constructor(
    place: PackPlace,
    { epoch }: Pick<ReadPoint, 'epoch'>,
    task: number,
    packBytes: number = PACK_BYTES,
  ) {
    this.#place = place;
    this.#prefix = `data/e${epoch}/pack-${task}-`;
    this.#packBytes = packBytes;
  }

  /** Takes a piece; wait for each before the next. `body` may be reused afterwards. Throws what the store throws. */
  async add(body: Uint8Array): Promise<PlacedPiece> {
    if (this.#length > 0 && this.#length + body.length > this.#packBytes) await this.#close();
    const at = this.#length;
    this.#length += body.length;
    this.#memory.view(this.#length, at).set(body, at);
    this.#hash.update(body);
    return { key: this.#provisionalKey(), at };
  }

  /** Puts the last pack. Returns the task's objects with their final keys, and the packs. */
  async finish(objects: readonly DataObject[]): Promise<{
    readonly objects: readonly DataObject[];
    readonly packs?: readonly ObjectEntry[];
  }> {
    if (this.#length > 0) await this.#close();
    if (this.#stored.size === 0) return { objects };
    return {
      objects: objects.map((object) => ({ ...object, key: this.#stored.get(object.key)?.key ?? object.key })),
      packs: [...this.#stored.values()],
    };
  }

  /** Returns the memory, for the next task. */
  release(): void {
    returnMemory(this.#memory);
  }

  #provisionalKey(): string {
    return `${this.#prefix}${this.#stored.size}`;
  }

  async #close(): Promise<void> {
    const { store, folder, signal } = this.#place;
    const body = this.#memory.view(this.#length);
    const sha256 = this.#hash.digest('hex');
    const provisional = this.#provisionalKey();
    const key = `${provisional}-${sha256.slice(0, 12)}.zst`;
    await store.put(folder + key, body, { sha256, ifAbsent: true, signal });
    this.#stored.set(provisional, { key, sizeBytes: body.length, sha256 });
    this.#length = 0;
    this.#hash = createHash('sha256');
  }
}
