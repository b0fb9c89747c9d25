import { createHash } from 'node:crypto';
import type { DataObject, ObjectEntry, ReadPoint } from '../model/backup.ts';
import type { Store } from '../repository/store.ts';
import { borrowMemory, returnMemory } from './threads/shared-memory.ts';

/** Parts of more stored bytes than this become objects of their own. */
export const PIECE_BYTES = 1024 * 1024;
/** A pack is closed before it outgrows this, so it bounds what a task holds of its pack. */
const PACK_BYTES = 8 * 1024 * 1024;

/** A pack that is full, or the last of its task. */
export interface FullPack {
  /** Valid until the put ends. */
  readonly body: Uint8Array;
  readonly sha256: string;
  /** What lies in it, one behind the other. */
  readonly pieces: readonly { readonly sizeBytes: number; readonly sha256: string }[];
}

/** Stores a pack, and returns the key under which a result names it. @param name the pack's own within its task */
export type PutPack = (pack: FullPack, name: string) => Promise<string>;

/** Puts packs of a task into the backup's folder. */
export function packsOfBackup(
  place: { readonly store: Pick<Store, 'put'>; readonly folder: string; readonly signal: AbortSignal },
  { epoch }: Pick<ReadPoint, 'epoch'>,
  task: number,
): PutPack {
  const { store, folder, signal } = place;
  return async ({ body, sha256 }, name) => {
    const key = `data/e${epoch}/pack-${task}-${name}-${sha256.slice(0, 12)}.zst`;
    await store.put(folder + key, body, { sha256, ifAbsent: true, signal });
    return key;
  };
}

/** Where a piece lies. Until `PackWriter.finish` its key is provisional, since a pack's name contains the SHA-256 of the whole pack. */
export type PlacedPiece = Required<Pick<DataObject, 'key' | 'at'>>;

/**
 * Joins the small parts of a task into packs, and stores each pack with one put. A pack's name contains its hash, so two attempts at a task that
 * read the same bytes write the same object. If they wrote two objects, the task's result names one of them (M4, O1).
 */
export class PackWriter {
  readonly #put: PutPack;
  readonly #packBytes: number;
  readonly #memory = borrowMemory();
  #length = 0;
  #hash = createHash('sha256');
  #pieces: FullPack['pieces'][number][] = [];
  /** By provisional key. */
  readonly #stored = new Map<string, ObjectEntry>();

  /** @param packBytes a pack is closed before it outgrows this */
  constructor(put: PutPack, packBytes: number = PACK_BYTES) {
    this.#put = put;
    this.#packBytes = packBytes;
  }

  /** Takes a piece; wait for each before the next. `body` may be reused afterwards. Throws what the store throws. */
  async add(body: Uint8Array, sha256: string): Promise<PlacedPiece> {
    if (this.#length > 0 && this.#length + body.length > this.#packBytes) await this.#close();
    const at = this.#length;
    this.#length += body.length;
    this.#memory.view(this.#length, at).set(body, at);
    this.#hash.update(body);
    this.#pieces.push({ sizeBytes: body.length, sha256 });
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
    return `pack ${this.#stored.size}`;
  }

  async #close(): Promise<void> {
    const body = this.#memory.view(this.#length);
    const sha256 = this.#hash.digest('hex');
    const key = await this.#put({ body, sha256, pieces: this.#pieces }, String(this.#stored.size));
    this.#stored.set(this.#provisionalKey(), { key, sizeBytes: body.length, sha256 });
    this.#length = 0;
    this.#hash = createHash('sha256');
    this.#pieces = [];
  }
}
