import { z } from 'zod';
import type { ObjectEntry } from '../../model/backup.ts';
import type { Manifest } from '../../model/manifest.ts';
import { isTabletFilePath, type SharedObject, type TabletList } from '../../model/tablets.ts';
import {
  type BackupId,
  backupFolder,
  tabletListName,
  tabletResultName,
  tabletResultsFolder,
} from '../layout.ts';
import { objectEntrySchema } from '../schema.ts';
import { sha256Hex } from '../sha256.ts';
import { openFrames, signFrames } from '../signing/signed-frames.ts';
import type { Cancellable, Store } from '../store.ts';
import { damaged, isDamage } from '../store-errors.ts';
import { packJson, unpackJson } from './packed-json.ts';

const count = z.int().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits');

const tabletListSchema: z.ZodType<TabletList> = z.object({
  objects: z.array(objectEntrySchema),
  tablets: z.array(
    z.object({
      tablet: z.string(),
      table: z.string(),
      replica: z.string(),
      files: z.array(
        z.object({
          path: z.string(),
          sizeBytes: count,
          sha256,
          parts: z.array(z.object({ object: count, offset: count, sizeBytes: count, sha256 })),
        }),
      ),
    }),
  ),
});

/** Most files in one list of a manifest: about 3 MB of JSON. */
const FILES_PER_LIST = 20_000;

/** Joins lists into longer ones, each of which has an object only once. */
export async function* mergedLists(
  lists: AsyncIterable<TabletList>,
  filesPerList = FILES_PER_LIST,
): AsyncGenerator<TabletList> {
  let objects: SharedObject[] = [];
  let places = new Map<string, number>();
  let tablets: TabletList['tablets'][number][] = [];
  let files = 0;
  for await (const list of lists) {
    for (const tablet of list.tablets) {
      if (files >= filesPerList) {
        yield { objects, tablets };
        objects = [];
        places = new Map();
        tablets = [];
        files = 0;
      }
      const placeOf = (part: number): number => {
        const object = list.objects[part];
        if (object === undefined)
          throw new RangeError(`a tablet list names its object ${part}, which it has not`);
        const known = places.get(object.key);
        if (known !== undefined) return known;
        places.set(object.key, objects.length);
        return objects.push(object) - 1;
      };
      tablets.push({
        ...tablet,
        files: tablet.files.map((file) => ({
          ...file,
          parts: file.parts.map((part) => ({ ...part, object: placeOf(part.object) })),
        })),
      });
      files += tablet.files.length;
    }
  }
  if (tablets.length > 0) yield { objects, tablets };
}

/** Stores a list, so that a manifest can name it. */
export async function writeTabletList(
  store: Store,
  ref: BackupId,
  index: number,
  list: TabletList,
  options: Cancellable = {},
): Promise<ObjectEntry> {
  const body = await packJson(list);
  const hash = sha256Hex(body);
  const key = tabletListName(index, hash);
  await store.put(backupFolder(ref) + key, body, { sha256: hash, ifAbsent: true, ...options });
  return { key, sizeBytes: body.byteLength, sha256: hash };
}

/** The lists of a manifest, with one in memory at a time. Checks size, SHA-256 and shape of each. */
export async function* readTabletLists(
  store: Store,
  manifest: Manifest,
  options: Cancellable & { readonly onDamagedList?: (error: unknown) => void } = {},
): AsyncGenerator<TabletList> {
  const { onDamagedList, ...cancellable } = options;
  for (const entry of manifest.tablets?.lists ?? []) {
    try {
      yield await readTabletList(store, manifest, entry, cancellable);
    } catch (error) {
      if (onDamagedList === undefined || !isDamage(error)) throw error;
      onDamagedList(error);
    }
  }
}

/** One list of a manifest. Checks size, SHA-256 and shape. Throws `STORE_NOT_FOUND`, `STORE_DAMAGED` (permanent). */
export async function readTabletList(
  store: Store,
  ref: BackupId,
  entry: ObjectEntry,
  options: Cancellable = {},
): Promise<TabletList> {
  const key = backupFolder(ref) + entry.key;
  const bytes = await store.get(key, { expect: entry, ...options });
  const list = await unpackJson(bytes, tabletListSchema, key, store.description);
  checkPlaces(list, key, store);
  return list;
}

/** Records what a task has saved, once for each piece. If an earlier attempt has recorded its own result, that one counts. */
export async function writeTabletResult(
  store: Store,
  ref: BackupId,
  at: { readonly epoch: number; readonly task: number; readonly piece: number },
  list: TabletList,
  options: Cancellable = {},
): Promise<TabletList> {
  const key = backupFolder(ref) + tabletResultName(at.epoch, at.task, at.piece);
  const body = await signFrames(store, key, await packJson(list));
  const outcome = await store.put(key, body, { sha256: sha256Hex(body), ifAbsent: true, ...options });
  return outcome === 'created' ? list : readTabletResult(store, key, options);
}

/** Throws `STORE_NOT_FOUND`, `STORE_DAMAGED` (permanent), and as `openFrames`, since a result becomes a part of the manifest. */
export async function readTabletResult(
  store: Store,
  key: string,
  options: Cancellable = {},
): Promise<TabletList> {
  const body = openFrames(store, key, key, await store.get(key, options));
  const list = await unpackJson(body, tabletListSchema, key, store.description);
  checkPlaces(list, key, store);
  return list;
}

/** Keys of the results of an epoch, in the order of tasks and pieces. */
export async function listTabletResults(
  store: Store,
  ref: BackupId,
  epoch: number,
  options: Cancellable = {},
): Promise<readonly string[]> {
  const folder = backupFolder(ref) + tabletResultsFolder(epoch);
  const keys = await Array.fromAsync(store.list(folder, options), ({ key }) => key);
  return keys.sort();
}

function checkPlaces({ objects, tablets }: TabletList, key: string, store: Store): void {
  for (const { files, tablet } of tablets) {
    for (const { path, parts, sizeBytes } of files) {
      if (!isTabletFilePath(path)) {
        throw damaged(
          key,
          store.description,
          `${JSON.stringify(path.slice(0, 200))} of tablet ${tablet} is not the name of a file within its folder`,
        );
      }
      if (parts.reduce((sum, part) => sum + part.sizeBytes, 0) !== sizeBytes) {
        throw damaged(
          key,
          store.description,
          `the parts of ${path} of tablet ${tablet} are not its ${sizeBytes} bytes`,
        );
      }
      for (const part of parts) {
        const object = objects[part.object];
        if (object === undefined || part.offset + part.sizeBytes > object.sizeBytes) {
          throw damaged(
            key,
            store.description,
            `${path} of tablet ${tablet} lies outside of the object that it names`,
          );
        }
      }
    }
  }
}
