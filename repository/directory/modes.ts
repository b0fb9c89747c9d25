import { chmod, mkdir, stat } from 'node:fs/promises';
import { errnoOf } from './errors.ts';

/** Who besides the owner may use what a directory repository has on disk. */
export type GroupAccess = 'read' | 'write';

/** The permissions of what is made in a directory repository. */
export interface Modes {
  readonly file: number;
  readonly folder: number;
  /** True where others than the owner have permissions, which a umask may remove. */
  readonly isWider: boolean;
}

/** The set-group-id bit: what is made in the folder gets the folder's group. */
const SET_GROUP = 0o2000;

/** The owner alone, as restic, Kopia and Borg have it, unless the repository's settings include the group. */
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

/** Makes a folder with these permissions, whatever the umask is. One that is there is left as it is. Throws the system's error. */
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
