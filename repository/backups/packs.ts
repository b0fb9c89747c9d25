import { type DataObject, dataObjectName, type ObjectEntry } from '../../model/backup.ts';
import type { Manifest } from '../../model/manifest.ts';
import { manifestKey } from '../layout.ts';
import { damaged } from '../store-errors.ts';

/** A pack as a manifest describes it, and what the manifest says lies in it. */
export interface NamedPack {
  readonly entry: ObjectEntry;
  /** In the manifest's order. Fewer than lie in it where a list of objects can't be read. */
  readonly pieces: readonly DataObject[];
}

/** Gathers the pieces of packs as a manifest's data objects pass by. Holds the pieces of packs that are not complete yet: those of one task. */
export class PackGatherer {
  readonly #description: string;
  readonly #manifest: Manifest;
  readonly #open: Map<string, { readonly entry: ObjectEntry; readonly pieces: DataObject[]; bytes: number }>;

  /** @param description of the store, for messages */
  constructor(manifest: Manifest, description: string) {
    this.#description = description;
    this.#manifest = manifest;
    this.#open = new Map((manifest.packs ?? []).map((entry) => [entry.key, { entry, pieces: [], bytes: 0 }]));
  }

  /** Takes a piece. Returns its pack where this was the last piece of it. Throws `STORE_DAMAGED` where the manifest has no such pack, or no room in it. */
  add(piece: DataObject): NamedPack | undefined {
    const pack = this.#open.get(piece.key);
    if (pack === undefined) {
      const difference = `its piece ${dataObjectName(piece)} is in no pack that it names`;
      throw damaged(manifestKey(this.#manifest), this.#description, difference);
    }
    pack.pieces.push(piece);
    pack.bytes += piece.sizeBytes;
    if (pack.bytes < pack.entry.sizeBytes) return undefined;
    this.#open.delete(piece.key);
    return pack;
  }

  /** Packs of which not all pieces passed by. */
  get rest(): Iterable<NamedPack> {
    return this.#open.values();
  }
}

/**
 * Compares pieces, as they pass in the manifest's order, with the packs that they are said to lie in: each begins where the one before it ends, and
 * together they are all of their pack. So no byte of a pack belongs to nobody or to two tables.
 */
export class PackCheck {
  readonly #sizes: ReadonlyMap<string, number>;
  readonly #ends = new Map<string, number>();
  readonly #problems: string[] = [];

  constructor(packs: readonly ObjectEntry[]) {
    this.#sizes = new Map(packs.map(({ key, sizeBytes }) => [key, sizeBytes]));
  }

  add(piece: Pick<DataObject, 'key' | 'at' | 'sizeBytes'>): void {
    const end = this.#ends.get(piece.key) ?? 0;
    if (!this.#sizes.has(piece.key))
      this.#problems.push(`The piece ${dataObjectName(piece)} is in no pack that the manifest names.`);
    else if (piece.at !== end)
      this.#problems.push(
        `The piece ${dataObjectName(piece)} does not begin where the one before it ends, at ${end}.`,
      );
    this.#ends.set(piece.key, (piece.at ?? 0) + piece.sizeBytes);
  }

  /** What is wrong, in sentences, after the last piece. */
  problems(): readonly string[] {
    const incomplete = [...this.#sizes].filter(
      ([key, sizeBytes]) => (this.#ends.get(key) ?? 0) !== sizeBytes,
    );
    return [
      ...this.#problems,
      ...incomplete.map(
        ([key, sizeBytes]) =>
          `The pack ${key} has ${sizeBytes} bytes, and its pieces end at ${this.#ends.get(key) ?? 0}.`,
      ),
    ];
  }
}
