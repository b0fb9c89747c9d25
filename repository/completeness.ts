import { permanent } from '../model/errors.ts';
import { type BackupId, backupFolder } from './layout.ts';
import type { Store } from './store.ts';

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
  options: { readonly heartbeat?: () => void; readonly signal?: AbortSignal },
): Promise<void> {
  const folder = backupFolder(ref);
  for await (const { key, sizeBytes } of store.list(
    folder,
    options.signal === undefined ? {} : { signal: options.signal },
  )) {
    const name = key.slice(folder.length);
    if (expected.get(name) === sizeBytes) expected.delete(name);
    options.heartbeat?.();
  }
  const [first] = expected.keys();
  if (first === undefined) return;
  throw permanent(
    'BACKUP_INCOMPLETE',
    `The backup ${ref.backup} of plan ${ref.plan} can't be finished: ${expected.size} of its objects are not in ${store.description} with their size, the first being ${first}.`,
    'Find out what deletes objects under this prefix (a lifecycle rule, a person), and run the backup again.',
  );
}
