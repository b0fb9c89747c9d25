import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { link, lstat, open, realpath, rename, rmdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { defined } from '../../model/defined.ts';
import { type HoldfastError, permanent } from '../../model/errors.ts';
import { crashPoint } from '../crash-points.ts';
import { TEMPORARY_FOLDER } from '../key.ts';
import { errnoOf, isAbsent } from './errors.ts';
import { type Modes, mkdirIfAbsent } from './modes.ts';

/** Writes and syncs `body` under a unique name in the temporary folder. */
export async function writeTemporary(
  root: string,
  body: Uint8Array,
  modes: Modes,
  signal: AbortSignal | undefined,
): Promise<string> {
  const folder = join(root, TEMPORARY_FOLDER);
  await mkdirIfAbsent(folder, modes);
  await refuseSymbolicLink(folder);
  const temporary = join(folder, randomUUID());
  try {
    await using handle = await open(temporary, 'wx', modes.file);
    if (modes.isWider) await handle.chmod(modes.file);
    await handle.writeFile(body, defined({ signal }));
    await handle.sync();
    return temporary;
  } catch (error) {
    // If the disk is full, the part that fitted must not stay.
    await unlinkIfThere(temporary);
    throw error;
  }
}

/** Gives the temporary file its name, unless the name is taken. Of two writers at once, one wins. */
export async function linkIfAbsent(
  root: string,
  temporary: string,
  file: string,
  modes: Modes,
): Promise<'created' | 'exists'> {
  try {
    await inFolder(root, dirname(file), modes, () => link(temporary, file));
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    return await existsFor(file);
  }
  crashPoint('put-named');
  await syncFolder(dirname(file));
  return 'created';
}

/** For a put that found its file: whoever gave it its name may have died, or failed, before the name was on the disk, and the caller relies on it (M6). */
export async function existsFor(file: string): Promise<'exists'> {
  try {
    await syncFolder(dirname(file));
  } catch (error) {
    // It was deleted meanwhile, and with it the folder.
    if (!isAbsent(error)) throw error;
  }
  return 'exists';
}

/** Gives the temporary file its name, and replaces a file of that name. */
export async function renameOver(
  root: string,
  temporary: string,
  file: string,
  modes: Modes,
): Promise<'created'> {
  await inFolder(root, dirname(file), modes, () => rename(temporary, file));
  await syncFolder(dirname(file));
  return 'created';
}

/** Runs `operation` on a file in `folder`. Runs it once more if a clean-up has just removed the folder because it was empty. */
async function inFolder(
  root: string,
  folder: string,
  modes: Modes,
  operation: () => Promise<void>,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await operation();
      return;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || attempt === 3) throw error;
      await ensureFolder(root, folder, modes);
    }
  }
}

/** Creates `folder` and its missing parents below `root`. Syncs each into its parent. */
export async function ensureFolder(root: string, folder: string, modes: Modes): Promise<void> {
  if (await folderIsThere(root, folder)) return;
  await ensureFolder(root, dirname(folder), modes);
  await mkdirIfAbsent(folder, modes);
  await syncFolder(dirname(folder));
}

/** Throws where a symbolic link lies between `root` and `folder`. */
export async function folderIsThere(root: string, folder: string): Promise<boolean> {
  const expected = folder.endsWith('/') ? folder.slice(0, -1) : folder;
  let real: string;
  try {
    real = await realpath(expected);
  } catch (error) {
    if (isAbsent(error) && expected !== root) return false;
    if (errnoOf(error) === 'ELOOP') throw symbolicLink(expected);
    throw error;
  }
  if (real !== expected) throw symbolicLink(expected);
  return true;
}

/** Removes `folder` and its parents below `root`, as long as they are empty. */
export async function removeEmptyFolders(root: string, folder: string): Promise<void> {
  for (let current = folder; current !== root; current = dirname(current)) {
    try {
      await rmdir(current);
    } catch (error) {
      const code = errnoOf(error);
      if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'EBUSY') return;
      // Another clean-up was faster. Go on with the folder above.
      if (code !== 'ENOENT') throw error;
    }
  }
}

/** Size and time of a file. Undefined where there is none. A symbolic link is refused. */
export async function entryAt(
  file: string,
): Promise<{ readonly size: number; readonly mtime: Date; readonly mtimeMs: number } | undefined> {
  try {
    const found = await lstat(file);
    if (found.isSymbolicLink()) throw symbolicLink(file);
    return found;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

async function refuseSymbolicLink(path: string): Promise<void> {
  await entryAt(path);
}

/** Removes a file, if it exists. */
export async function unlinkIfThere(file: string): Promise<void> {
  try {
    await unlink(file);
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
}

/** M6: a put is durable. That includes the file's name, which is durable only once its folder is synced. */
export async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, constants.O_RDONLY);
  await handle.sync();
}

/** The error for a symbolic link inside a repository. */
export function symbolicLink(path: string): HoldfastError {
  return permanent(
    'STORE_SYMBOLIC_LINK',
    `A symbolic link is in the way at or above ${path}; the repository does not follow links, since they may lead out of it.`,
    'Replace the link by a bind mount, or move the whole repository.',
  );
}
