import { type DataObject, dataObjectName } from '../../model/backup.ts';
import { defined } from '../../model/defined.ts';
import { HoldfastError, permanent } from '../../model/errors.ts';
import { storedKey } from '../layout.ts';
import { sha256Hex } from '../sha256.ts';
import type { Cancellable, Store } from '../store.ts';
import { ifWhole, isDamage } from '../store-errors.ts';

/*
 * The only way to read the bytes of data objects. Whether a data object is an object of its own or a piece of a pack, and whether it is shared, is known
 * only here, and where stored objects are listed, copied or deleted.
 */

/** How data objects are read. */
export interface ReadDataOptions {
  /** Gives the memory to read into, of the requested number of bytes. Absent: new memory. */
  readonly memory?: (bytes: number) => Uint8Array;
  readonly signal?: AbortSignal;
}

/**
 * The stored bytes of a data object, with size and SHA-256 verified. Throws what the store throws. If a piece of a pack is damaged, the error names
 * the piece and its table.
 *
 * @param folder of the backup, within the repository
 */
export async function readData(
  store: Store,
  folder: string,
  object: Pick<DataObject, 'key' | 'at' | 'part' | 'sizeBytes' | 'sha256' | 'table'>,
  options: ReadDataOptions = {},
): Promise<Uint8Array> {
  const { at, sizeBytes, sha256, table } = object;
  const key = storedKey(folder, object.key);
  const expect = { sizeBytes, sha256 };
  if (at === undefined) return await store.get(key, { expect, ...options });
  try {
    return await store.get(key, { expect, range: { start: at, end: at + sizeBytes }, ...options });
  } catch (error) {
    if (!(error instanceof HoldfastError) || !isDamage(error)) throw error;
    const where = `Piece ${dataObjectName(object)} holds rows of ${table.schema}.${table.table}.`;
    throw permanent(error.code, `${error.message} ${where}`, error.remedy, error);
  }
}

/**
 * Data objects in their order, grouped into runs that one request can read: consecutive pieces of one pack. Any other object is a run of its own.
 * Pure.
 */
export function runsOf(objects: readonly DataObject[]): readonly (readonly [DataObject, ...DataObject[]])[] {
  const runs: [DataObject, ...DataObject[]][] = [];
  for (const object of objects) {
    const run = runs.at(-1);
    const before = run?.at(-1);
    const follows =
      before?.at !== undefined && before.key === object.key && before.at + before.sizeBytes === object.at;
    if (run !== undefined && follows) run.push(object);
    else runs.push([object]);
  }
  return runs;
}

/**
 * Reads a run of `runsOf` by one request into `memory`, which has room for exactly its objects, one after another. Verifies each object as
 * `readData` does. A damaged object's neighbours are not read again.
 */
export async function readRun(
  store: Store,
  folder: string,
  run: readonly [DataObject, ...DataObject[]],
  memory: Uint8Array,
  { signal }: Cancellable = {},
): Promise<void> {
  const cancellable = defined({ signal });
  // A damaged object may be longer than its place in `memory`.
  const into = (place: Uint8Array) => (bytes: number) =>
    bytes === place.length ? place : Buffer.allocUnsafe(bytes);
  const [first, ...others] = run;
  if (others.length === 0 || first.at === undefined) {
    await readData(store, folder, first, { memory: into(memory), ...cancellable });
    return;
  }
  const range = { start: first.at, end: first.at + memory.length };
  const reading = store.get(storedKey(folder, first.key), { range, memory: into(memory), ...cancellable });
  // Where part of the run is damaged, each object is read by itself, so that the damaged one is named.
  const read = await ifWhole(reading);
  let at = 0;
  for (const object of run) {
    const place = memory.subarray(at, at + object.sizeBytes);
    at += object.sizeBytes;
    const isSound = read?.length === memory.length && sha256Hex(place) === object.sha256;
    // Read it once more by itself. If it differs again, this throws and names it.
    if (!isSound) await readData(store, folder, object, { memory: into(place), ...cancellable });
  }
}
