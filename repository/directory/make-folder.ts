import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a folder and its missing parents. Does nothing if it exists. Node's own `mkdir` with `recursive` never returns where a file system
 * refuses a new folder with ENOENT, as /proc does (seen with Node 24.21). Throws the system's error.
 *
 * @param mode of the folders that it makes; default: by the umask
 */
export async function makeFolder(path: string, mode?: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    const above = dirname(path);
    if (code !== 'ENOENT' || path === '' || above === path) throw error;
    await makeFolder(above, mode);
    await mkdir(path, { mode });
  }
}
