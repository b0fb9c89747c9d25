import { homedir } from 'node:os';
import { join } from 'node:path';

/** A folder of Holdfast in the user's cache, for files that can be made again. */
export function cacheFolder(name: string): string {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'holdfast', name);
}
