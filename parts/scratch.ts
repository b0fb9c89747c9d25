import { randomBytes } from 'node:crypto';
import { chown, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Account } from './account.ts';
import { forgetFolder, guardFolder } from './guard.ts';

/** A folder under the system's temporary folder that is removed however this process ends. */
export type ScratchFolder = { readonly path: string; remove(): Promise<void> };

/** Creates an empty folder `holdfast-<label>-<random>`, readable by its owner alone. */
export async function createScratchFolder(label: string, owner?: Account): Promise<ScratchFolder> {
  const folder = path.join(tmpdir(), `holdfast-${label}-${randomBytes(6).toString('hex')}`);
  guardFolder(folder);
  await mkdir(folder, { mode: 0o700 });
  if (owner !== undefined) await chown(folder, owner.uid, owner.gid);
  return {
    path: folder,
    async remove() {
      // A server that was just stopped may still be deleting its own files.
      await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
      forgetFolder(folder);
    },
  };
}
