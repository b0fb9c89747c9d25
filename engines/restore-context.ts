import { type BackupRef, type LogicalRestoreRequest, PLAIN_RESTORE } from '../model/backup.ts';
import type { LogicalSource } from '../model/pipeline.ts';
import { readDataObjects, readManifest } from '../repository/backups/manifest.ts';
import { backupFolder } from '../repository/layout.ts';
import { openStore } from '../repository/open.ts';
import type { RestoreContext, VerbContext } from './engine.ts';

/** What a caller sets of the restore request; the rest is as in `PLAIN_RESTORE`. */
type LookWishes = Partial<LogicalRestoreRequest> & Pick<LogicalRestoreRequest, 'restore'>;

/** Runs a verb of the restore side outside a restore. Opens a store for it alone, and reads the backup's manifest from that. */
export async function withRestoreContext<T>(
  verb: VerbContext,
  ref: BackupRef,
  source: LogicalSource,
  wishes: LookWishes,
  work: (context: RestoreContext) => Promise<T>,
): Promise<T> {
  const store = await openStore(ref.repository, verb.secret);
  try {
    const manifest = await readManifest(store, ref);
    return await work({
      ...verb,
      ref,
      store,
      manifest,
      folder: backupFolder(ref),
      dataObjects: () => Array.fromAsync(readDataObjects(store, manifest)),
      request: {
        from: ref,
        source,
        ...PLAIN_RESTORE,
        scratch: false,
        parallelism: 1,
        ...wishes,
      },
    });
  } finally {
    await store.close();
  }
}
