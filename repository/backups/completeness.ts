import { defined } from '../../model/defined.ts';
import { type HoldfastError, permanent } from '../../model/errors.ts';
import { type BackupId, backupFolder, OBJECTS_FOLDER } from '../layout.ts';
import { indexObjectsNaming, removeFromIndex } from '../objects/index-removal.ts';
import type { Store } from '../store.ts';
import { staysForPrune } from '../store-errors.ts';

type Options = { readonly heartbeat?: () => void; readonly signal?: AbortSignal };

/**
 * Throws `BACKUP_INCOMPLETE` (permanent) unless every object is in the backup's folder with its size. One listing, instead
 * of a request for each object.
 *
 * @param expected size by key relative to the backup's folder; emptied as objects are found.
 */
export async function checkAllThere(
  store: Store,
  ref: BackupId,
  expected: Map<string, number>,
  options: Options,
): Promise<void> {
  await removeListed(store, backupFolder(ref), expected, options);
  if (expected.size > 0) throw incomplete(store, ref, [...expected.keys()], 'Run the backup again.');
}

/**
 * The same check for shared objects. The index no longer names what is missing, so the next backup sends it again.
 *
 * @param expected size by key; emptied as objects are found.
 */
export async function checkAllShared(
  store: Store,
  ref: BackupId,
  expected: Map<string, number>,
  options: Options,
): Promise<void> {
  if (expected.size === 0) return;
  const relative = new Map([...expected].map(([key, size]) => [key.slice(OBJECTS_FOLDER.length), size]));
  await removeListed(store, OBJECTS_FOLDER, relative, options);
  if (relative.size === 0) return;
  const missing = [...relative.keys()].map((name) => `${OBJECTS_FOLDER}${name}`);
  throw incomplete(store, ref, missing, await forgetMissing(store, missing, options));
}

/** Returns what to do. */
async function forgetMissing(store: Store, missing: readonly string[], options: Options): Promise<string> {
  const objects = new Set(missing);
  try {
    await removeFromIndex(store, objects, options);
  } catch (error) {
    if (!staysForPrune(error)) throw error;
    const naming = await indexObjectsNaming(store, objects, options);
    return `Each backup relies on what the index names, and these credentials may not delete there: delete ${naming.join(', ')}, and run the backup again a minute later.`;
  }
  // Workers and agents take what they saw of the index for 30 s (`INDEX_MAX_AGE_MS`).
  return 'Run the backup again, a minute later: what is missing is sent anew. Where one lies there with another size, delete it first.';
}

function incomplete(store: Store, ref: BackupId, missing: readonly string[], remedy: string): HoldfastError {
  return permanent(
    'BACKUP_INCOMPLETE',
    `The backup ${ref.backup} of plan ${ref.plan} can't be finished: ${missing.length} of its objects are not in ${store.description} with their size, the first being ${missing[0]}.`,
    `Find out what deletes objects under this prefix (a lifecycle rule, a person). ${remedy}`,
  );
}

/** Takes from `expected` what a listing of the folder has with its size. */
async function removeListed(
  store: Store,
  folder: string,
  expected: Map<string, number>,
  options: Options,
): Promise<void> {
  for await (const { key, sizeBytes } of store.list(folder, defined({ signal: options.signal }))) {
    const name = key.slice(folder.length);
    if (expected.get(name) === sizeBytes) expected.delete(name);
    options.heartbeat?.();
  }
}
