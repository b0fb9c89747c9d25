import type { BackupContext } from '../engines/engine.ts';
import type { BackupRef } from '../model/backup.ts';
import { backupFolder } from '../repository/layout.ts';
import type { Repositories } from './repositories.ts';
import { asActivity } from './run-activity.ts';

/** Runs the body of an activity that works on one backup in its repository. */
export function inBackup<T>(
  repositories: Repositories,
  ref: BackupRef,
  body: (context: BackupContext) => Promise<T>,
): Promise<T> {
  return asActivity(async (verb) => {
    const store = await repositories.open(ref.repository);
    return body({ ...verb, ref, store, folder: backupFolder(ref) });
  });
}
