import type { ChunkSpec, DataObject, ReadPoint } from '../model/backup.ts';
import type { BackupContext } from './engine.ts';
import { type PackWriter, PIECE_BYTES } from './pack-writer.ts';
import { SMALL_BODY_BYTES } from './puts-behind.ts';
import type { SharedParts } from './shared-parts.ts';

/**
 * Stores the parts of one chunk in order. A part's name contains its position and hash, so a retry doesn't resend what an earlier attempt of the
 * activity stored.
 */
export class ChunkStore {
  readonly #verb: BackupContext;
  readonly #chunk: ChunkSpec;
  readonly #prefix: string;
  readonly #ending: string;
  readonly #packs: PackWriter | undefined;
  readonly #shared: SharedParts | undefined;
  /** What an earlier attempt stored, as `key size`; undefined until it was listed. */
  #sent: ReadonlySet<string> | undefined;
  #parts = 0;

  /**
   * @param ending of the objects' names, e.g. `.copy.zst`
   * @param packs takes the small parts; absent: each part becomes an object
   * @param shared takes all parts, instead of the backup's folder
   */
  constructor(
    verb: BackupContext,
    readPoint: ReadPoint,
    chunk: ChunkSpec,
    ending: string,
    { packs, shared }: { readonly packs?: PackWriter; readonly shared?: SharedParts } = {},
  ) {
    this.#verb = verb;
    this.#chunk = chunk;
    this.#prefix = `data/e${readPoint.epoch}/${chunk.id}-`;
    this.#ending = ending;
    this.#packs = packs;
    this.#shared = shared;
  }

  /**
   * Puts the next part; wait for each before the next. `body` may be reused once this returns. A small part may not be stored yet then (see
   * `BackupContext.puts`), and its key may be provisional (see `PlacedPiece`).
   */
  async put(body: Uint8Array, sha256: string): Promise<Omit<DataObject, 'rows' | 'bytes'>> {
    const { id, table, columns } = this.#chunk;
    if (this.#shared !== undefined) {
      const part = `${id}-${this.#parts}`;
      this.#parts += 1;
      const shared = await this.#shared.add(body, sha256);
      return { ...shared, part, sizeBytes: body.length, sha256, table, columns };
    }
    const place =
      this.#packs !== undefined && body.length <= PIECE_BYTES
        ? await this.#packs.add(body, sha256)
        : { key: await this.#putAlone(body, sha256) };
    this.#parts += 1;
    return { ...place, sizeBytes: body.length, sha256, table, columns };
  }

  /** Returns the object's key. */
  async #putAlone(body: Uint8Array, sha256: string): Promise<string> {
    const { store, folder, signal, puts, attempt } = this.#verb;
    const key = `${this.#prefix}${this.#parts}-${sha256.slice(0, 12)}${this.#ending}`;
    this.#sent ??= attempt > 1 ? await objectsUnder(this.#verb, this.#prefix) : new Set<string>();
    if (!this.#sent.has(`${key} ${body.length}`)) {
      const put = (bytes: Uint8Array) => store.put(folder + key, bytes, { sha256, ifAbsent: true, signal });
      if (puts === undefined || body.length > SMALL_BODY_BYTES) await put(body);
      else {
        // The thread reuses the memory of `body` while this put goes on.
        const copy = Uint8Array.from(body);
        await puts.begin(() => put(copy));
      }
    }
    return key;
  }
}

async function objectsUnder(verb: BackupContext, prefix: string): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for await (const { key, sizeBytes } of verb.store.list(verb.folder + prefix, { signal: verb.signal })) {
    found.add(`${key.slice(verb.folder.length)} ${sizeBytes}`);
  }
  return found;
}
