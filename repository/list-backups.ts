import { HoldfastError } from '../model/errors.ts';
import { instantOf, type Manifest } from '../model/manifest.ts';
import { mapBounded } from './bounded.ts';
import { BACKUPS_FOLDER, type BackupId, planFolder } from './layout.ts';
import { findManifest } from './manifest.ts';
import type { Store } from './store.ts';

const MANIFESTS_AT_ONCE = 8;

type Cancellable = { readonly signal?: AbortSignal };

/** A backup's folder that can't be restored from. */
export interface UnusableBackup {
  readonly backup: string;
  /** `unfinished`: no manifest (yet); `discarded`: given up; `damaged`: the manifest can't be trusted or read. */
  readonly state: 'unfinished' | 'discarded' | 'damaged';
  /** One sentence; names the manifest where it is damaged. */
  readonly problem: string;
}

export interface BackupListing {
  /** Newest read point first. Ordered by time, never by name, since names may sort otherwise. */
  readonly backups: readonly Manifest[];
  readonly unusable: readonly UnusableBackup[];
}

/** Names of the plans that have a folder of backups. */
export function listPlans(store: Store, options: Cancellable = {}): AsyncIterable<string> {
  return store.folders(BACKUPS_FOLDER, options);
}

/**
 * All backups of a plan, and every other folder that lies where a backup would. M1: a backup exists if and only if its manifest
 * exists. Throws only errors of the store (unreachable, denied).
 */
export async function listBackups(
  store: Store,
  plan: string,
  options: Cancellable = {},
): Promise<BackupListing> {
  const backups: Manifest[] = [];
  const unusable: UnusableBackup[] = [];
  const names = store.folders(planFolder(plan), options);
  const read = (backup: string) => readBackup(store, { plan, backup }, options);
  for await (const found of mapBounded(names, MANIFESTS_AT_ONCE, read)) {
    if ('state' in found) unusable.push(found);
    else backups.push(found);
  }
  return {
    backups: backups.sort((one, other) => Date.parse(instantOf(other)) - Date.parse(instantOf(one))),
    unusable: unusable.sort((one, other) => one.backup.localeCompare(other.backup)),
  };
}

async function readBackup(
  store: Store,
  ref: BackupId,
  options: Cancellable,
): Promise<Manifest | UnusableBackup> {
  const { backup } = ref;
  try {
    const found = await findManifest(store, ref, options);
    if (found !== undefined) return found.manifest;
    return {
      backup,
      state: 'unfinished',
      problem: 'It has no manifest: it is being written, or was cut off.',
    };
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    if (error.code === 'BACKUP_DISCARDED') return { backup, state: 'discarded', problem: error.message };
    if (error.code === 'STORE_DAMAGED' || error.code === 'FORMAT_TOO_NEW') {
      return { backup, state: 'damaged', problem: error.message };
    }
    throw error;
  }
}
