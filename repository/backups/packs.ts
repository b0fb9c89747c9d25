import { type DataObject, dataObjectName, type ObjectEntry } from '../../model/backup.ts';
import type { Manifest } from '../../model/manifest.ts';
import { isShared, manifestKey } from '../layout.ts';
import { damaged } from '../store-errors.ts';

/** A pack that a manifest names, with the pieces that the manifest puts into it. */
export interface NamedPack {
  readonly entry: ObjectEntry;
  /** In the manifest's order. Some are missing where a list of objects can't be read. */
  readonly pieces: readonly DataObject[];
}

/** Collects the pieces of each pack while a manifest's data objects are read. Holds only the pieces of incomplete packs: those of one task. */
export class PackGatherer {
  readonly #description: string;
  readonly #manifest: Manifest;
  readonly #open: Map<string, { readonly entry: ObjectEntry; readonly pieces: DataObject[]; bytes: number }>;

  /** @param description names the store in messages */
  constructor(manifest: Manifest, description: string) {
    this.#description = description;
    this.#manifest = manifest;
    const own = (manifest.packs ?? []).filter(({ key }) => !isShared(key));
    this.#open = new Map(own.map((entry) => [entry.key, { entry, pieces: [], bytes: 0 }]));
  }

  /** Takes a piece. Returns its pack once all of its pieces have come. Throws `STORE_DAMAGED` where the manifest has no such pack, or no room in it. */
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

  /** Packs of which some pieces never came. */
  get rest(): Iterable<NamedPack> {
    return this.#open.values();
  }
}

/**
 * Checks, while pieces are read in the manifest's order, that they fit their packs: each piece begins where the previous one ends, and together they fill
 * the pack. So every byte of a pack belongs to exactly one table. A shared pack holds pieces of other backups besides, so there each must lie within it.
 */
export class PackCheck {
  readonly #sizes: ReadonlyMap<string, number>;
  readonly #ends = new Map<string, number>();
  readonly #problems: string[] = [];

  constructor(packs: readonly ObjectEntry[]) {
    this.#sizes = new Map(packs.map(({ key, sizeBytes }) => [key, sizeBytes]));
  }

  add(piece: Pick<DataObject, 'key' | 'at' | 'part' | 'sizeBytes'>): void {
    const end = this.#ends.get(piece.key) ?? 0;
    if (!this.#sizes.has(piece.key))
      this.#problems.push(`The piece ${dataObjectName(piece)} is in no pack that the manifest names.`);
    else if (isShared(piece.key)) this.#checkWithin(piece);
    else if (piece.at !== end)
      this.#problems.push(
        `The piece ${dataObjectName(piece)} does not begin where the one before it ends, at ${end}.`,
      );
    this.#ends.set(piece.key, (piece.at ?? 0) + piece.sizeBytes);
  }

  #checkWithin(piece: Pick<DataObject, 'key' | 'at' | 'part' | 'sizeBytes'>): void {
    const end = (piece.at ?? 0) + piece.sizeBytes;
    const sizeBytes = this.#sizes.get(piece.key) ?? 0;
    if (end <= sizeBytes) return;
    this.#problems.push(
      `${dataObjectName(piece)} ends at ${end} of the pack ${piece.key}, which has ${sizeBytes} bytes.`,
    );
  }

  /** What is wrong, in sentences. Call it after the last piece. */
  problems(): readonly string[] {
    const incomplete = [...this.#sizes].filter(
      ([key, sizeBytes]) => !isShared(key) && (this.#ends.get(key) ?? 0) !== sizeBytes,
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
