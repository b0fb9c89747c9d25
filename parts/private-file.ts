import { type FileHandle, open } from 'node:fs/promises';

const OWNER_ALONE = 0o600;

/**
 * Opens a file for appending that only its owner may read; creates it if it is missing. If an earlier version made this user's file readable for
 * others, this closes it to them. Throws the system's error.
 */
export async function openPrivateFile(path: string): Promise<FileHandle> {
  const handle = await open(path, 'a', OWNER_ALONE);
  try {
    const { mode, uid } = await handle.stat();
    if ((mode & 0o077) !== 0 && uid === process.getuid?.()) await handle.chmod(OWNER_ALONE);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}
