import { chmod, mkdir, stat } from 'node:fs/promises';
import { errnoOf } from './errors.ts';

/** Who besides the owner may use the files of a directory repository. */
export type GroupAccess = 'read' | 'write';

/** The permissions of files and folders that Holdfast makes in a directory repository. */
export interface Modes {
  readonly file: number;
  readonly folder: number;
  /** True: others than the owner get permissions, which a umask could take away. */
  readonly isWider: boolean;
}

/** The set-group-id bit: whatever is made in the folder gets the folder's group. */
const SET_GROUP = 0o2000;

/** The owner alone, as in restic, Kopia and Borg, unless the repository's settings include the group. */
export function modesFor(access: GroupAccess | undefined): Modes {
  switch (access) {
    case undefined:
      return { file: 0o600, folder: 0o700, isWider: false };
    case 'read':
      return { file: 0o640, folder: 0o750, isWider: true };
    case 'write':
      return { file: 0o660, folder: 0o770, isWider: true };
  }
}

/** Makes a folder with these permissions, whatever the umask. Leaves an existing folder as it is. Throws the system's error. */
export async function mkdirIfAbsent(folder: string, modes: Modes): Promise<void> {
  try {
    await mkdir(folder, { mode: modes.folder });
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    return;
  }
  if (!modes.isWider) return;
  const { mode } = await stat(folder);
  await chmod(folder, modes.folder | (mode & SET_GROUP));
}
