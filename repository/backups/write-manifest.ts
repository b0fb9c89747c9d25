import type { DataObject, ObjectEntry } from '../../model/backup.ts';
import { defined } from '../../model/defined.ts';
import { type HoldfastError, permanent } from '../../model/errors.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { TabletList } from '../../model/tablets.ts';
import { type BackupId, backupFolder, isShared, manifestKey, objectListName } from '../layout.ts';
import { relyOn } from '../objects/object-writer.ts';
import { mergedLists, writeTabletList } from '../objects/tablet-lists.ts';
import { TabletTally } from '../objects/tablet-tally.ts';
import { holdLocks } from '../retention/locks.ts';
import { sha256Hex } from '../sha256.ts';
import { confirmRegister, enterRegister, predecessorOf } from '../signing/register.ts';
import { sealFor } from '../signing/signed-object.ts';
import type { Cancellable, Store } from '../store.ts';
import { checkAllShared, checkAllThere } from './completeness.ts';
import {
  encodeObjectList,
  findManifest,
  formatVersionOf,
  otherObjects,
  PLAIN_FORMAT_VERSION,
  readStoredManifest,
  type StoredManifest,
} from './manifest.ts';
import { PackCheck } from './packs.ts';
import { DataTally } from './tally.ts';

/** The manifest names at most `inlineObjects` data objects itself. If there are more, it names lists of up to `objectsPerList`. */
interface ListLimits {
  readonly inlineObjects: number;
  readonly objectsPerList: number;
}

/** A list of 10,000 is about 3 MB of JSON. */
const DEFAULT_LIMITS: ListLimits = { inlineObjects: 1_000, objectsPerList: 10_000 };

/**
 * What the writer of a backup knows of it. The counts in `databases[].tables` may be zero: rows, bytes and objects, as well as the
 * totals, are computed from the data objects.
 */
export type ManifestDraft = Omit<Manifest, 'formatVersion' | 'totals' | 'data'>;

interface WriteManifestOptions {
  readonly limits?: ListLimits;
  readonly heartbeat?: () => void;
  readonly signal?: AbortSignal;
}

/**
 * Finishes a backup: writes the object lists, checks by a listing that every object named is there with its size, and then writes the
 * manifest, last and once. If the backup already has a manifest (a retry after a lost answer), returns that one and changes nothing.
 *
 * Holds one list in memory, and key and size of each object (about 150 bytes an object). Where rows are shared, as `writeTabletManifest` it throws
 * `OBJECTS_SWEPT` (transient) too.
 *
 * @param data in the order in which a restore should load it.
 * Throws (permanent) `BACKUP_INCOMPLETE` naming a missing object, `BACKUP_DISCARDED`, `MANIFEST_UNKNOWN_TABLE`, `MANIFEST_BAD_PACKS`.
 */
export async function writeManifest(
  store: Store,
  draft: ManifestDraft,
  data: Iterable<DataObject> | AsyncIterable<DataObject>,
  options: WriteManifestOptions = {},
): Promise<StoredManifest> {
  const already = await findFinished(store, draft, cancellation(options));
  if (already !== undefined) return already;

  const { tally, sizes, shared, data: listed } = await writeLists(store, draft, data, options);
  const databases = tally.countedDatabases(draft.databases);
  const others = [...draft.commonObjects, ...draft.databases.flatMap(({ schemaObjects }) => schemaObjects)];
  const manifest: Manifest = {
    ...draft,
    formatVersion: formatVersionOf(draft, shared.size > 0),
    databases,
    totals: tally.totals(databases, others),
    data: listed,
  };
  for (const { key, sizeBytes } of [...otherObjects(manifest), ...(draft.packs ?? [])]) {
    (isShared(key) ? shared : sizes).set(key, sizeBytes);
  }
  return await putComplete(store, manifest, { sizes, shared }, options);
}

/** What the writer of a tablet backup knows of it. The counts are computed from the tablets. */
export type TabletManifestDraft = Omit<Manifest, 'formatVersion' | 'totals' | 'data' | 'packs' | 'tablets'>;

/**
 * Finishes a backup of tablets, as `writeManifest` finishes one of rows. Holds one list in memory, and key and size of each shared
 * object.
 *
 * O3, M2: spares objects that a sweep has condemned meanwhile, and then checks by a listing that every shared object is there.
 * Also throws `OBJECTS_SWEPT` (transient).
 */
export async function writeTabletManifest(
  store: Store,
  draft: TabletManifestDraft,
  tablets: AsyncIterable<TabletList>,
  options: Omit<WriteManifestOptions, 'limits'> & { readonly filesPerList?: number } = {},
): Promise<StoredManifest> {
  const cancellable = cancellation(options);
  const already = await findFinished(store, draft, cancellable);
  if (already !== undefined) return already;

  const lists: ObjectEntry[] = [];
  const shared = new Map<string, number>();
  const tally = new TabletTally();
  for await (const list of mergedLists(tablets, options.filesPerList)) {
    for (const { key, sizeBytes } of list.objects) shared.set(key, sizeBytes);
    tally.add(list);
    lists.push(await writeTabletList(store, draft, lists.length, list, cancellable));
    options.heartbeat?.();
  }
  const databases = tally.countedDatabases(draft.databases, draft.universe?.snapshots ?? []);
  const others = [...draft.commonObjects, ...draft.databases.flatMap(({ schemaObjects }) => schemaObjects)];
  const stored = [...shared.values(), ...others.map(({ sizeBytes }) => sizeBytes)];
  const manifest: Manifest = {
    ...draft,
    formatVersion: PLAIN_FORMAT_VERSION,
    databases,
    totals: {
      rows: databases.flatMap(({ tables }) => tables).reduce((sum, { rows }) => sum + rows, 0),
      bytes: tally.bytes,
      storedBytes: stored.reduce((sum, sizeBytes) => sum + sizeBytes, 0),
      objects: stored.length,
      tables: databases.reduce((sum, { tables }) => sum + tables.length, 0),
    },
    data: { inline: [] },
    tablets: { lists, count: tally.tablets, files: tally.files },
  };
  const sizes = new Map(otherObjects(manifest).map(({ key, sizeBytes }) => [key, sizeBytes]));
  return await putComplete(store, manifest, { sizes, shared }, options);
}

/** O3, M2: spares shared objects that a sweep has condemned meanwhile, makes sure that all objects are there, and then puts the manifest. */
async function putComplete(
  store: Store,
  manifest: Manifest,
  named: { readonly sizes: Map<string, number>; readonly shared: Map<string, number> },
  options: Omit<WriteManifestOptions, 'limits'>,
): Promise<StoredManifest> {
  const shared = [...named.shared.keys()];
  if (shared.length > 0) await relyOn(store, new Set(shared), cancellation(options));
  await checkAllShared(store, manifest, named.shared, options);
  await checkAllThere(store, manifest, named.sizes, options);
  return await putManifest(store, manifest, shared, options);
}

/** The manifest that an earlier attempt wrote. That attempt may have died before it noted the manifest in the register. */
async function findFinished(
  store: Store,
  ref: BackupId,
  options: Cancellable,
): Promise<StoredManifest | undefined> {
  const found = await findManifest(store, ref, options);
  if (found !== undefined) await confirmRegister(store, ref, options);
  return found;
}

/**
 * M3: writes the manifest last, once, by a conditional put. First locks what the manifest relies on, for as long as the manifest
 * itself.
 */
async function putManifest(
  store: Store,
  counted: Manifest,
  shared: Iterable<string>,
  options: Omit<WriteManifestOptions, 'limits'>,
): Promise<StoredManifest> {
  const cancellable = cancellation(options);
  const holding = { ...cancellable, ...defined({ heartbeat: options.heartbeat }) };
  const locks = await holdLocks(store, shared, new Date(counted.startedAt), holding);
  const manifest: Manifest = {
    ...counted,
    ...defined({ locks }),
    ...(await predecessorOf(store, counted, cancellable)),
  };
  const body = await sealFor(store, manifestKey(manifest), manifest);
  const sha256 = sha256Hex(body);
  // The register comes first: a manifest that is not in it counts as brought back by somebody.
  await enterRegister(store, manifest, sha256, cancellable);
  const outcome = await store.put(manifestKey(manifest), body, { sha256, ifAbsent: true, ...cancellable });
  await confirmRegister(store, manifest, cancellable);
  // Another attempt was faster, or this one's answer was lost. Either way, the stored manifest is the backup.
  return outcome === 'created' ? { manifest, sha256 } : readStoredManifest(store, manifest, cancellable);
}

interface ListedData {
  readonly tally: DataTally;
  readonly data: Manifest['data'];
  /** By key relative to the backup's folder. */
  readonly sizes: Map<string, number>;
  /** Sizes of shared objects that are one data object each, by key. */
  readonly shared: Map<string, number>;
}

/** Puts a few objects into the manifest itself, and more than a few into lists of bounded length, as they come. */
async function writeLists(
  store: Store,
  draft: BackupId & Pick<ManifestDraft, 'packs'>,
  data: Iterable<DataObject> | AsyncIterable<DataObject>,
  options: WriteManifestOptions,
): Promise<ListedData> {
  const { inlineObjects, objectsPerList } = options.limits ?? DEFAULT_LIMITS;
  const tally = new DataTally();
  const sizes = new Map<string, number>();
  const shared = new Map<string, number>();
  const packs = new PackCheck(draft.packs ?? []);
  const lists: ObjectEntry[] = [];
  let pending: DataObject[] = [];
  const writeList = async (): Promise<void> => {
    const list = await writeObjectList(store, draft, lists.length, pending, options);
    lists.push(list);
    pending = [];
  };
  for await (const object of data) {
    tally.add(object);
    if (object.at === undefined) (isShared(object.key) ? shared : sizes).set(object.key, object.sizeBytes);
    else packs.add(object);
    pending.push(object);
    options.heartbeat?.();
    // Once there are too many for the manifest, all objects go into lists.
    if (tally.dataObjects > inlineObjects && pending.length >= objectsPerList) await writeList();
  }
  const [problem] = packs.problems();
  if (problem !== undefined) throw contradictoryPacks(problem);
  if (tally.dataObjects <= inlineObjects) return { tally, sizes, shared, data: { inline: pending } };
  if (pending.length > 0) await writeList();
  return { tally, sizes, shared, data: { lists, count: tally.dataObjects } };
}

function contradictoryPacks(problem: string): HoldfastError {
  return permanent(
    'MANIFEST_BAD_PACKS',
    `The backup can't be finished, since its pieces and packs don't fit together: ${problem}`,
    'Run the backup again, and report this: it is a mistake in Holdfast.',
  );
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

function cancellation({ signal }: WriteManifestOptions): Cancellable {
  return defined({ signal });
}
