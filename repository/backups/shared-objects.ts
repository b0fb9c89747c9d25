import { type DataObject, dataObjectName, type ObjectEntry } from '../../model/backup.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { SharedObject, TabletList } from '../../model/tablets.ts';
import { isShared, manifestKey } from '../layout.ts';
import { readTabletLists } from '../objects/tablet-lists.ts';
import type { Cancellable, Store } from '../store.ts';
import { damaged } from '../store-errors.ts';
import { readDataObjects, SHARED_ROWS_FORMAT_VERSION } from './manifest.ts';

/** A shared object that a manifest names, with the ranges of it that the backup needs. */
export interface NamedSharedObject extends SharedObject {
  readonly ranges: readonly {
    readonly offset: number;
    readonly sizeBytes: number;
    readonly sha256: string;
  }[];
  /** Present where the whole of it is one data object. */
  readonly data?: DataObject;
  /** Present for a pack of data objects: those of this backup. */
  readonly pieces?: readonly DataObject[];
}

type Options = {
  readonly signal?: AbortSignal;
  /** Called for a list that is missing or damaged, whose objects are then left out. Absent: the error is thrown. */
  readonly onDamagedList?: (error: unknown) => void;
};

/** Whether a backup's rows may lie in shared objects. Told by the version, since their keys stand in lists, which are large. */
export function sharesRows({ formatVersion }: Pick<Manifest, 'formatVersion'>): boolean {
  return formatVersion >= SHARED_ROWS_FORMAT_VERSION;
}

/**
 * The shared objects that a manifest names, list by list. One that holds the rows of several tables, or files of several lists, may come more than once,
 * each time with other ranges. Holds one list in memory, and of rows the pieces of packs. Throws `STORE_NOT_FOUND`, `STORE_DAMAGED` (permanent).
 */
export async function* readSharedObjects(
  store: Store,
  manifest: Manifest,
  options: Options = {},
): AsyncGenerator<NamedSharedObject> {
  for await (const list of readTabletLists(store, manifest, options)) {
    const ranges = rangesByObject(list);
    for (const [place, object] of list.objects.entries()) {
      yield { ...object, ranges: ranges[place] ?? [] };
    }
  }
  if (sharesRows(manifest)) yield* sharedRows(store, manifest, options);
}

/** The keys of the shared objects that a manifest names, some of them more than once. Holds one list in memory. Throws as `readSharedObjects`. */
export async function* sharedKeys(
  store: Store,
  manifest: Manifest,
  options: Cancellable = {},
): AsyncGenerator<string> {
  for await (const { objects } of readTabletLists(store, manifest, options)) {
    for (const { key } of objects) yield key;
  }
  if (!sharesRows(manifest)) return;
  for await (const { key } of readDataObjects(store, manifest, options)) if (isShared(key)) yield key;
  for (const { key } of manifest.packs ?? []) if (isShared(key)) yield key;
}

async function* sharedRows(
  store: Store,
  manifest: Manifest,
  options: Options,
): AsyncGenerator<NamedSharedObject> {
  const packs = new Map((manifest.packs ?? []).map((entry) => [entry.key, entry]));
  const pieces = new Map<string, DataObject[]>();
  for await (const data of readDataObjects(store, manifest, options)) {
    if (!isShared(data.key)) continue;
    if (data.at === undefined) {
      yield { ...entryOf(data), ranges: [rangeOf(data)], data };
      continue;
    }
    if (!packs.has(data.key)) {
      throw damaged(
        manifestKey(manifest),
        store.description,
        `${dataObjectName(data)} is in no pack that it names`,
      );
    }
    const known = pieces.get(data.key);
    if (known === undefined) pieces.set(data.key, [data]);
    else known.push(data);
  }
  for (const [key, entry] of packs) {
    if (!isShared(key)) continue;
    // Where a list was damaged, its pieces are missing here. The pack is needed all the same.
    const own = pieces.get(key) ?? [];
    yield { ...entry, ranges: own.map(rangeOf), pieces: own };
  }
}

function entryOf({ key, sizeBytes, sha256 }: ObjectEntry): ObjectEntry {
  return { key, sizeBytes, sha256 };
}

function rangeOf({ at = 0, sizeBytes, sha256 }: DataObject): NamedSharedObject['ranges'][number] {
  return { offset: at, sizeBytes, sha256 };
}

function rangesByObject({ objects, tablets }: TabletList): NamedSharedObject['ranges'][] {
  const ranges = objects.map((): NamedSharedObject['ranges'][number][] => []);
  for (const { files } of tablets) {
    for (const { parts } of files) {
      for (const { object, ...range } of parts) ranges[object]?.push(range);
    }
  }
  return ranges;
}
