import type { ChunkSpec, DataObject, ReadPoint } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import type { BackupContext } from './engine.ts';
import { SMALL_BODY_BYTES } from './puts-behind.ts';

/**
 * Stores the parts of one chunk in order. Their names hold their place and hash, so that a retry doesn't send again what an
 * earlier attempt of the activity stored.
 */
export class ChunkStore {
  readonly #verb: BackupContext;
  readonly #chunk: ChunkSpec;
  readonly #prefix: string;
  readonly #ending: string;
  /** What is there already, as `key size`. */
  readonly #sent: ReadonlySet<string>;
  #parts = 0;

  private constructor(
    verb: BackupContext,
    chunk: ChunkSpec,
    prefix: string,
    ending: string,
    sent: ReadonlySet<string>,
  ) {
    this.#verb = verb;
    this.#chunk = chunk;
    this.#prefix = prefix;
    this.#ending = ending;
    this.#sent = sent;
  }

  /** @param ending of the objects' names, e.g. `.copy.zst` */
  static async open(
    verb: BackupContext,
    readPoint: ReadPoint,
    chunk: ChunkSpec,
    ending: string,
  ): Promise<ChunkStore> {
    const prefix = `data/e${readPoint.epoch}/${chunk.id}-`;
    const sent = verb.attempt > 1 ? await objectsUnder(verb, prefix) : new Set<string>();
    return new ChunkStore(verb, chunk, prefix, ending, sent);
  }

  /** Puts the next part. One at a time. `body` may be used again afterwards. A small one may not be stored yet: see `BackupContext.puts`. */
  async put(body: Uint8Array, sha256: string): Promise<Omit<DataObject, 'rows' | 'bytes'>> {
    const { store, folder, signal, puts } = this.#verb;
    const key = `${this.#prefix}${this.#parts}-${sha256.slice(0, 12)}${this.#ending}`;
    this.#parts += 1;
    if (!this.#sent.has(`${key} ${body.length}`)) {
      const put = (bytes: Uint8Array) => store.put(folder + key, bytes, { sha256, ifAbsent: true, signal });
      if (puts === undefined || body.length > SMALL_BODY_BYTES) await put(body);
      else {
        // The thread uses the memory again.
        const copy = Uint8Array.from(body);
        await puts.begin(() => put(copy));
      }
    }
    return { key, sizeBytes: body.length, sha256, table: this.#chunk.table, columns: this.#chunk.columns };
  }
}

async function objectsUnder(verb: BackupContext, prefix: string): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for await (const { key, sizeBytes } of verb.store.list(verb.folder + prefix, { signal: verb.signal })) {
    found.add(`${key.slice(verb.folder.length)} ${sizeBytes}`);
  }
  return found;
}

/**
 * The stored bytes, size and SHA-256 verified: nothing damaged reaches a database. May be called ahead of need: a rejection waits
 * until somebody awaits it.
 *
 * @param memory gives what to read into; absent, new memory
 */
export function fetchObject(
  { store, folder, signal }: Pick<BackupContext, 'store' | 'folder' | 'signal'>,
  { key, sizeBytes, sha256 }: DataObject,
  memory?: (bytes: number) => Uint8Array,
): Promise<Uint8Array> {
  const body = store.get(folder + key, {
    expect: { sizeBytes, sha256 },
    signal,
    ...defined({ memory }),
  });
  body.catch(() => undefined);
  return body;
}
