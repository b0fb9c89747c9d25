import { defined } from '../../model/defined.ts';
import { permanent } from '../../model/errors.ts';
import { type BackupId, backupFolder, OBJECTS_FOLDER } from '../layout.ts';
import type { Store } from '../store.ts';

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
  await checkListed(store, ref, backupFolder(ref), expected, options);
}

/** The same check for shared objects. @param expected size by key; emptied as objects are found. */
export async function checkAllShared(
  store: Store,
  ref: BackupId,
  expected: Map<string, number>,
  options: Options,
): Promise<void> {
  if (expected.size === 0) return;
  const relative = new Map([...expected].map(([key, size]) => [key.slice(OBJECTS_FOLDER.length), size]));
  await checkListed(store, ref, OBJECTS_FOLDER, relative, options);
}

async function checkListed(
  store: Store,
  ref: BackupId,
  folder: string,
  expected: Map<string, number>,
  options: Options,
): Promise<void> {
  for await (const { key, sizeBytes } of store.list(folder, defined({ signal: options.signal }))) {
    const name = key.slice(folder.length);
    if (expected.get(name) === sizeBytes) expected.delete(name);
    options.heartbeat?.();
  }
  const [first] = expected.keys();
  if (first === undefined) return;
  throw permanent(
    'BACKUP_INCOMPLETE',
    `The backup ${ref.backup} of plan ${ref.plan} can't be finished: ${expected.size} of its objects are not in ${store.description} with their size, the first being ${folder === OBJECTS_FOLDER ? folder : ''}${first}.`,
    'Find out what deletes objects under this prefix (a lifecycle rule, a person), and run the backup again.',
  );
}
