import type { ObjectEntry } from '../../model/backup.ts';
import { defined } from '../../model/defined.ts';
import { HoldfastError } from '../../model/errors.ts';
import type { Manifest } from '../../model/manifest.ts';
import { listPlans } from '../backups/list-backups.ts';
import { findManifest } from '../backups/manifest.ts';
import { sharedKeys } from '../backups/shared-objects.ts';
import { isTaskResult, readTaskResult } from '../backups/work.ts';
import { type BackupId, backupFolder, isShared, manifestKey, planFolder } from '../layout.ts';
import { whyMissed } from '../retention/missed.ts';
import { isRegistered } from '../signing/register.ts';
import type { Cancellable, Store } from '../store.ts';
import { damaged, STORE_NOT_FOUND } from '../store-errors.ts';
import { readTabletResult } from './tablet-lists.ts';

type Options = { readonly signal?: AbortSignal; readonly heartbeat?: () => void };

/** `work/e<epoch>/tablets/<result>`, within a backup's folder. */
const TABLET_RESULT = /^work\/e\d+\/tablets\/[^/]+$/;

/**
 * Keys of all shared objects that are needed by the manifests of all plans or by the results of backups under way. Throws where one
 * of these can't be read, or a manifest is gone that somebody misses, since its needs are then unknown.
 */
export async function referencedObjects(store: Store, options: Options): Promise<Set<string>> {
  const cancellable = defined({ signal: options.signal });
  const needed = new Set<string>();
  for await (const plan of listPlans(store, cancellable)) {
    for await (const backup of store.folders(planFolder(plan), cancellable)) {
      options.heartbeat?.();
      for await (const key of neededBy(store, { plan, backup }, cancellable)) needed.add(key);
    }
  }
  return needed;
}

async function* neededBy(store: Store, ref: BackupId, cancellable: Cancellable): AsyncGenerator<string> {
  for (;;) {
    const finished = await manifestOf(store, ref, cancellable);
    if (finished === undefined || finished === 'discarded') await requireUnmissed(store, ref, cancellable);
    if (finished === 'discarded') return;
    if (finished !== undefined) {
      yield* sharedKeys(store, finished, cancellable);
      return;
    }
    yield* neededByResults(store, ref, cancellable);
    // The backup may have been finished, and its results removed, during the reading. Its manifest then has the keys, so look
    // again.
    if ((await manifestOf(store, ref, cancellable)) === undefined) return;
  }
}

/** Throws `STORE_DAMAGED` (permanent) where somebody misses the backup: what its lost manifest named is not known. */
async function requireUnmissed(store: Store, ref: BackupId, cancellable: Cancellable): Promise<void> {
  const why = await whyMissed(store, ref, cancellable);
  if (why !== undefined) throw damaged(manifestKey(ref), store.description, `it is gone, and ${why}`);
}

async function* neededByResults(
  store: Store,
  ref: BackupId,
  cancellable: Cancellable,
): AsyncGenerator<string> {
  const folder = backupFolder(ref);
  for await (const { key } of store.list(`${folder}work/`, cancellable)) {
    const read = readerOf(key.slice(folder.length));
    if (read === undefined) continue;
    try {
      for (const object of await read(store, key, cancellable)) if (isShared(object.key)) yield object.key;
    } catch (error) {
      // It was removed after the listing, since the backup was finished or given up. The caller checks that next.
      if (!(error instanceof HoldfastError) || error.code !== STORE_NOT_FOUND) throw error;
    }
  }
}

type ReadObjects = (store: Store, key: string, options: Cancellable) => Promise<readonly ObjectEntry[]>;

/** How the objects that a task's result names are read. Undefined where `name`, relative to the backup's folder, is no result. */
function readerOf(name: string): ReadObjects | undefined {
  if (TABLET_RESULT.test(name)) {
    return async (store, key, options) => (await readTabletResult(store, key, options)).objects;
  }
  if (isTaskResult(name)) {
    return async (store, key, options) => (await readTaskResult(store, key, options)).objects;
  }
  return undefined;
}

/** The manifest of a backup. Undefined where there is none yet. `discarded`: the backup was given up, so nothing can finish it. */
async function manifestOf(
  store: Store,
  ref: BackupId,
  cancellable: Cancellable,
): Promise<Manifest | 'discarded' | undefined> {
  try {
    const found = await findManifest(store, ref, { ...cancellable, signedBy: 'any' });
    if (found === undefined) return undefined;
    const isOld = found.signature?.state === 'unsigned' && !(await isRegistered(store, ref, cancellable));
    // An unsigned manifest from before signatures is trusted as before. Any other untrusted one makes this throw: the true manifest
    // may name objects that it leaves out.
    return isOld ? found.manifest : (await findManifest(store, ref, cancellable))?.manifest;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'BACKUP_DISCARDED') return 'discarded';
    throw error;
  }
}
