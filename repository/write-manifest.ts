import type { DataObject, ObjectEntry } from '../model/backup.ts';
import { permanent } from '../model/errors.ts';
import type { Manifest } from '../model/manifest.ts';
import { type BackupId, backupFolder, manifestKey, objectListName } from './layout.ts';
import {
  encodeObjectList,
  findManifest,
  MANIFEST_FORMAT_VERSION,
  readStoredManifest,
  type StoredManifest,
} from './manifest.ts';
import { sealJson } from './sealed-json.ts';
import { sha256Hex } from './sha256.ts';
import type { Store } from './store.ts';
import { DataTally } from './tally.ts';

/** Up to this many data objects stand in the manifest itself. */
const INLINE_OBJECTS = 1_000;
/** Objects in one list: about 3 MB of JSON. */
const OBJECTS_PER_LIST = 10_000;

export const RESTORE_GUIDE_NAME = 'RESTORE.md';

/**
 * What a writer knows of its backup. The counts of `databases[].tables` may be zero: rows, bytes and objects are counted
 * from the data objects, as are the totals.
 */
export type ManifestDraft = Omit<Manifest, 'formatVersion' | 'totals' | 'data'>;

export interface WriteManifestOptions {
  /** The text of `RESTORE.md` for the manifest as it will be written (without this one entry). */
  readonly restoreGuide?: (manifest: Manifest) => string;
  readonly heartbeat?: () => void;
  readonly signal?: AbortSignal;
}

/**
 * Finishes a backup: writes the object lists and `RESTORE.md`, checks by a listing that every object named is there with
 * its size, and then, last and once, the manifest. Where the backup has a manifest already (a retry after a lost answer)
 * that one is returned and nothing is changed.
 *
 * Holds one list in memory, and key and size of each object (about 150 bytes an object).
 *
 * @param data in the order in which a restore should load it.
 * Throws, permanent: `BACKUP_INCOMPLETE` naming a missing object, `BACKUP_DISCARDED`, `MANIFEST_UNKNOWN_TABLE`.
 */
export async function writeManifest(
  store: Store,
  draft: ManifestDraft,
  data: Iterable<DataObject> | AsyncIterable<DataObject>,
  options: WriteManifestOptions = {},
): Promise<StoredManifest> {
  const already = await findManifest(store, draft, cancellation(options));
  if (already !== undefined) return already;

  const { tally, ...listed } = await writeLists(store, draft, data, options);
  const databases = tally.countedDatabases(draft.databases);
  const others = [...draft.commonObjects, ...draft.databases.flatMap(({ schemaObjects }) => schemaObjects)];
  const unguided: Manifest = {
    ...draft,
    formatVersion: MANIFEST_FORMAT_VERSION,
    databases,
    totals: tally.totals(databases, others),
    data: listed.data,
  };
  const guide = await writeRestoreGuide(store, unguided, options);
  const manifest = guide === undefined ? unguided : withCommonObject(unguided, guide);

  // Must: a manifest names only objects that are there.
  await checkAllThere(store, draft, sizesOf(manifest, listed.sizes), options);

  // Must: the manifest is written last, once, by a conditional put.
  const body = sealJson(manifest);
  const sha256 = sha256Hex(body);
  const outcome = await store.put(manifestKey(draft), body, {
    sha256,
    ifAbsent: true,
    ...cancellation(options),
  });
  // Another attempt was faster, or this one's answer was lost: what stands there is the backup.
  return outcome === 'created'
    ? { manifest, sha256 }
    : readStoredManifest(store, draft, cancellation(options));
}

interface ListedData {
  readonly tally: DataTally;
  readonly data: Manifest['data'];
  /** By key relative to the backup's folder. */
  readonly sizes: ReadonlyMap<string, number>;
}

/** Few objects go into the manifest itself; more, as they come, into lists of bounded length. */
async function writeLists(
  store: Store,
  ref: BackupId,
  data: Iterable<DataObject> | AsyncIterable<DataObject>,
  options: WriteManifestOptions,
): Promise<ListedData> {
  const tally = new DataTally();
  const sizes = new Map<string, number>();
  const lists: ObjectEntry[] = [];
  let pending: DataObject[] = [];
  const writeList = async (): Promise<void> => {
    const list = await writeObjectList(store, ref, lists.length, pending, options);
    lists.push(list);
    pending = [];
  };
  for await (const object of data) {
    tally.add(object);
    sizes.set(object.key, object.sizeBytes);
    pending.push(object);
    options.heartbeat?.();
    if (pending.length === OBJECTS_PER_LIST) await writeList();
  }
  if (tally.objects <= INLINE_OBJECTS) return { tally, sizes, data: { inline: pending } };
  if (pending.length > 0) await writeList();
  return { tally, sizes, data: { lists, count: tally.objects } };
}

async function writeObjectList(
  store: Store,
  ref: BackupId,
  index: number,
  objects: readonly DataObject[],
  options: WriteManifestOptions,
): Promise<ObjectEntry> {
  const body = await encodeObjectList(objects);
  const sha256 = sha256Hex(body);
  const key = objectListName(index, sha256);
  await store.put(backupFolder(ref) + key, body, { sha256, ifAbsent: true, ...cancellation(options) });
  return { key, sizeBytes: body.byteLength, sha256 };
}

async function writeRestoreGuide(
  store: Store,
  manifest: Manifest,
  options: WriteManifestOptions,
): Promise<ObjectEntry | undefined> {
  if (options.restoreGuide === undefined) return undefined;
  const body = Buffer.from(options.restoreGuide(manifest));
  const sha256 = sha256Hex(body);
  // Replaces what an attempt that died after this point has left; the text may have changed with the time in it.
  await store.put(backupFolder(manifest) + RESTORE_GUIDE_NAME, body, {
    sha256,
    ifAbsent: false,
    ...cancellation(options),
  });
  return { key: RESTORE_GUIDE_NAME, sizeBytes: body.byteLength, sha256 };
}

function withCommonObject(manifest: Manifest, entry: ObjectEntry): Manifest {
  return {
    ...manifest,
    commonObjects: [...manifest.commonObjects, entry],
    totals: {
      ...manifest.totals,
      objects: manifest.totals.objects + 1,
      storedBytes: manifest.totals.storedBytes + entry.sizeBytes,
    },
  };
}

function sizesOf(manifest: Manifest, dataSizes: ReadonlyMap<string, number>): Map<string, number> {
  const sizes = new Map(dataSizes);
  const others = [
    ...('lists' in manifest.data ? manifest.data.lists : []),
    ...manifest.commonObjects,
    ...manifest.databases.flatMap(({ schemaObjects }) => schemaObjects),
  ];
  for (const { key, sizeBytes } of others) sizes.set(key, sizeBytes);
  return sizes;
}

/** One listing of the backup's folder, instead of a request for each object. Empties `missing` as it finds them. */
async function checkAllThere(
  store: Store,
  ref: BackupId,
  missing: Map<string, number>,
  options: WriteManifestOptions,
): Promise<void> {
  const folder = backupFolder(ref);
  for await (const { key, sizeBytes } of store.list(folder, cancellation(options))) {
    const name = key.slice(folder.length);
    if (missing.get(name) === sizeBytes) missing.delete(name);
    options.heartbeat?.();
  }
  const [first] = missing.keys();
  if (first === undefined) return;
  throw permanent(
    'BACKUP_INCOMPLETE',
    `The backup ${ref.backup} of plan ${ref.plan} can't be finished: ${missing.size} of its objects are not in ${store.description} with their size, the first being ${first}.`,
    'Find out what deletes objects under this prefix (a lifecycle rule, a person), and run the backup again.',
  );
}

function cancellation({ signal }: WriteManifestOptions): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
