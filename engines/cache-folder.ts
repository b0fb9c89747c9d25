import { homedir } from 'node:os';
import { join } from 'node:path';

/** A folder of ours in the user's cache: what lies there can be made again. */
export function cacheFolder(name: string): string {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'holdfast', name);
}
