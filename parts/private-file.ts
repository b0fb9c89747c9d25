import { type FileHandle, open } from 'node:fs/promises';

const OWNER_ALONE = 0o600;

/**
 * Opens a file to append to, which nobody but its owner may read; makes it if it isn't there. One that an earlier version made readable for others,
 * and that is this user's, is closed to them. Throws the system's error.
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
