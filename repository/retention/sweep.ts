import { defined } from '../../model/defined.ts';
import { HoldfastError, recover } from '../../model/errors.ts';
import { DAY_MS } from '../../model/time.ts';
import { findManifest, PLAIN_FORMAT_VERSION, readNamedObjects } from '../backups/manifest.ts';
import { type BackupId, backupFolder, MANIFEST_NAME, manifestKey, planFolder } from '../layout.ts';
import { putSealed } from '../sealed-object.ts';
import { isDistrusted } from '../signing/errors.ts';
import type { Cancellable, ListedObject, Store } from '../store.ts';
import { isDamage } from '../store-errors.ts';
import { whyMissed } from './missed.ts';

const DELETE_BATCH = 1000;

/** Why nothing needs certain objects in a folder. */
type OrphanKind =
  /** There is no manifest, and nothing was written for longer than the grace time: the writer is gone. */
  | 'unfinished'
  /** They lie beside a manifest that does not name them. */
  | 'unnamed'
  /** They are the tombstone of a backup that was given up or deleted, or lie beside it. */
  | 'discarded';

/** Objects in one backup's folder that no manifest names. */
interface Orphans {
  readonly plan: string;
  readonly backup: string;
  readonly kind: OrphanKind;
  readonly objects: number;
  readonly bytes: number;
}

/** How a backup's folder is swept. */
export interface SweepOptions {
  /** How long a writer may be silent before it counts as gone, and how long a tombstone stays, milliseconds. Default one day. */
  readonly graceMs?: number;
  readonly heartbeat?: () => void;
  readonly signal?: AbortSignal;
}

export const DEFAULT_GRACE_MS = DAY_MS;

/** How much a sweep deleted. */
export interface SweepResult {
  readonly deletedObjects: number;
  readonly deletedBytes: number;
}

const NOTHING: SweepResult = { deletedObjects: 0, deletedBytes: 0 };

/**
 * Deletes what no manifest names in one backup's folder, and never anything outside of that folder.
 *
 * M5: nothing is deleted that a manifest names. If the manifest or one of its lists can't be read, this throws and deletes
 * nothing. If there is no manifest, a conditional put writes a tombstone in its place before the first object is deleted, so that
 * a writer that was presumed dead can't finish a backup whose objects are gone. And nothing is deleted of a backup that somebody misses (`missed.ts`).
 */
export async function sweepBackup(
  store: Store,
  ref: BackupId,
  options: SweepOptions = {},
): Promise<SweepResult> {
  const graceMs = options.graceMs ?? DEFAULT_GRACE_MS;
  const folder = await readFolder(store, ref, graceMs, options);
  if (folder.kind === 'missed') return NOTHING;
  if (folder.kind === 'unfinished') {
    if (!folder.silent) return NOTHING;
    return discardBackup(store, ref, 'its writer was silent for too long', options);
  }
  return deleteAll(store, orphansIn(store, ref, folder, options), options);
}

/**
 * Gives up a backup whose run has ended for good without a manifest, and deletes its objects at once. A backup that has its
 * manifest is only swept.
 *
 * @param reason written into the tombstone, and shown in the error of a writer that comes late
 */
export async function discardBackup(
  store: Store,
  ref: BackupId,
  reason: string,
  options: SweepOptions = {},
): Promise<SweepResult> {
  await putSealed(store, manifestKey(ref), tombstone(ref, reason), cancellation(options));
  // Read it again, since a manifest or another tombstone may have been there first.
  const folder = await readFolder(store, ref, options.graceMs ?? DEFAULT_GRACE_MS, options);
  if (folder.kind === 'missed') return NOTHING;
  return deleteAll(store, orphansIn(store, ref, folder, options), options);
}

/**
 * What `removeOrphans` would delete of a plan. Leaves out backups whose manifest is damaged or not trusted; `verify` reports
 * them.
 */
export async function* findOrphans(
  store: Store,
  plan: string,
  graceMs: number,
  options: { readonly heartbeat?: () => void; readonly signal?: AbortSignal } = {},
): AsyncGenerator<Orphans> {
  for await (const backup of store.folders(planFolder(plan), cancellation(options))) {
    const ref = { plan, backup };
    const folder = await readFolderIfTrusted(store, ref, graceMs, options);
    if (folder === undefined || folder.kind === 'missed' || (folder.kind === 'unfinished' && !folder.silent))
      continue;
    let objects = 0;
    let bytes = 0;
    for await (const { sizeBytes } of orphansIn(store, ref, folder, options)) {
      objects++;
      bytes += sizeBytes;
      options.heartbeat?.();
    }
    if (objects > 0) yield { plan, backup, kind: folder.kind, objects, bytes };
  }
}

/** Sweeps what `findOrphans` finds, judging each folder anew. Then discards what interrupted puts left in the store. */
export async function removeOrphans(
  store: Store,
  plan: string,
  graceMs: number,
  options: { readonly heartbeat?: () => void; readonly signal?: AbortSignal } = {},
): Promise<SweepResult & { readonly orphans: readonly Orphans[]; readonly discardedUploads: number }> {
  let deletedObjects = 0;
  let deletedBytes = 0;
  const orphans: Orphans[] = [];
  for await (const found of findOrphans(store, plan, graceMs, options)) {
    const { backup } = found;
    orphans.push(found);
    const swept = await sweepBackup(store, { plan, backup }, { graceMs, ...options });
    deletedObjects += swept.deletedObjects;
    deletedBytes += swept.deletedBytes;
  }
  const discardedUploads = await store.discardUnfinished({ olderThanMs: graceMs, ...cancellation(options) });
  return { orphans, deletedObjects, deletedBytes, discardedUploads };
}

type Folder =
  | { readonly kind: 'unnamed'; readonly named: ReadonlySet<string> }
  | { readonly kind: 'unfinished'; readonly silent: boolean }
  | { readonly kind: 'discarded'; readonly tombstoneIsOld: boolean }
  /** It has no manifest, or a tombstone, and somebody misses the backup: nothing of it may be deleted. */
  | { readonly kind: 'missed' };

/** What is in a backup's folder, as far as it decides what may be deleted. */
async function readFolder(
  store: Store,
  ref: BackupId,
  graceMs: number,
  options: { readonly heartbeat?: () => void; readonly signal?: AbortSignal },
): Promise<Folder> {
  try {
    const found = await findManifest(store, ref, cancellation(options));
    if (found === undefined) {
      if ((await whyMissed(store, ref, cancellation(options))) !== undefined) return { kind: 'missed' };
      return { kind: 'unfinished', silent: await isOlder(store, backupFolder(ref), graceMs, options) };
    }
    const named = new Set([MANIFEST_NAME]);
    for await (const { entry } of readNamedObjects(store, found.manifest, cancellation(options))) {
      named.add(entry.key);
    }
    return { kind: 'unnamed', named };
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'BACKUP_DISCARDED') throw error;
    if ((await whyMissed(store, ref, cancellation(options))) !== undefined) return { kind: 'missed' };
    return { kind: 'discarded', tombstoneIsOld: await isOlder(store, manifestKey(ref), graceMs, options) };
  }
}

async function readFolderIfTrusted(
  store: Store,
  ref: BackupId,
  graceMs: number,
  options: { readonly heartbeat?: () => void; readonly signal?: AbortSignal },
): Promise<Folder | undefined> {
  return await recover(
    readFolder(store, ref, graceMs, options),
    // A manifest that is not trusted may leave out objects that the true one named.
    (error) => error.code === 'FORMAT_TOO_NEW' || isDamage(error) || isDistrusted(error),
    () => undefined,
  );
}

async function* orphansIn(
  store: Store,
  ref: BackupId,
  folder: Exclude<Folder, { readonly kind: 'missed' }>,
  options: Cancellable,
): AsyncGenerator<ListedObject> {
  const prefix = backupFolder(ref);
  let tombstone: ListedObject | undefined;
  for await (const object of store.list(prefix, cancellation(options))) {
    const name = object.key.slice(prefix.length);
    if (folder.kind === 'unnamed') {
      if (!folder.named.has(name)) yield object;
    } else if (name === MANIFEST_NAME) {
      tombstone = object;
    } else {
      yield object;
    }
  }
  // The tombstone is deleted last. Until then it keeps a late writer from finishing the backup.
  if (folder.kind === 'discarded' && folder.tombstoneIsOld && tombstone !== undefined) yield tombstone;
}

async function isOlder(
  store: Store,
  prefix: string,
  ageMs: number,
  options: { readonly heartbeat?: () => void; readonly signal?: AbortSignal },
): Promise<boolean> {
  const newestMs = Date.now() - ageMs;
  for await (const { modifiedAt } of store.list(prefix, cancellation(options))) {
    if (modifiedAt.getTime() > newestMs) return false;
    options.heartbeat?.();
  }
  return true;
}

/** The tombstone that replaces a manifest. @param finished true: the backup had a manifest */
export function tombstone({ plan, backup }: BackupId, reason: string, finished = false): object {
  const discarded = { at: new Date().toISOString(), reason, ...(finished ? { finished } : {}) };
  return { formatVersion: PLAIN_FORMAT_VERSION, plan, backup, discarded };
}

async function deleteAll(
  store: Store,
  objects: AsyncIterable<ListedObject>,
  options: SweepOptions,
): Promise<SweepResult> {
  const batch: ListedObject[] = [];
  let deletedObjects = 0;
  let deletedBytes = 0;
  const flush = async (): Promise<void> => {
    const keys = batch.map(({ key }) => key);
    await store.delete(keys, cancellation(options));
    deletedObjects += batch.length;
    deletedBytes += batch.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    batch.length = 0;
    options.heartbeat?.();
  };
  for await (const object of objects) {
    batch.push(object);
    if (batch.length === DELETE_BATCH) await flush();
  }
  if (batch.length > 0) await flush();
  return { deletedObjects, deletedBytes };
}

function cancellation({ signal }: Cancellable): Cancellable {
  return defined({ signal });
}
