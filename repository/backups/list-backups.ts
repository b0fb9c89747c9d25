import { HoldfastError } from '../../model/errors.ts';
import { instantOf, type Manifest } from '../../model/manifest.ts';
import { mapBounded } from '../bounded.ts';
import { BACKUPS_FOLDER, type BackupId, planFolder } from '../layout.ts';
import { FOREIGN, FORGED, UNSIGNED } from '../signing/errors.ts';
import type { Cancellable, Store } from '../store.ts';
import { findManifest, type StoredManifest } from './manifest.ts';

const MANIFESTS_AT_ONCE = 8;

/** A folder of a backup that can't be restored. */
export interface UnusableBackup {
  readonly backup: string;
  /**
   * `unfinished`: no manifest (yet); `discarded`: the backup was given up or deleted; `damaged`: the manifest can't be read. If the plan says that
   * the repository is signed: `unsigned`, `foreign` (signed by a key that the plan doesn't trust), `forged` (not what was signed).
   */
  readonly state: 'unfinished' | 'discarded' | 'damaged' | DistrustedState;
  /** One sentence; names the manifest where it is damaged. */
  readonly problem: string;
}

type DistrustedState = 'unsigned' | 'foreign' | 'forged';

const DISTRUSTED: ReadonlyMap<string, DistrustedState> = new Map([
  [UNSIGNED, 'unsigned'],
  [FOREIGN, 'foreign'],
  [FORGED, 'forged'],
]);

/** True for a manifest that can't be read, or that no trusted key signed. Somebody should look at it. */
export function isSuspect({ state }: UnusableBackup): boolean {
  return state !== 'unfinished' && state !== 'discarded';
}

/** The backups of a plan, and what else is in their places. */
export interface BackupListing {
  /** Newest read point first. Ordered by time, never by name: names may sort differently. */
  readonly backups: readonly Manifest[];
  /** SHA-256 of the stored manifests, by backup. */
  readonly sha256: ReadonlyMap<string, string>;
  readonly unusable: readonly UnusableBackup[];
}

/** Names of the plans that have a folder of backups. */
export function listPlans(store: Store, options: Cancellable = {}): AsyncIterable<string> {
  return store.folders(BACKUPS_FOLDER, options);
}

/**
 * Lists all backups of a plan, and every other folder in a place for a backup. M1: a backup exists if and only if its manifest exists. Throws only
 * errors of the store (unreachable, denied).
 */
export async function listBackups(
  store: Store,
  plan: string,
  options: Cancellable = {},
): Promise<BackupListing> {
  const found: StoredManifest[] = [];
  const unusable: UnusableBackup[] = [];
  const names = store.folders(planFolder(plan), options);
  const read = (backup: string) => readBackup(store, { plan, backup }, options);
  for await (const backup of mapBounded(names, MANIFESTS_AT_ONCE, read)) {
    if ('state' in backup) unusable.push(backup);
    else found.push(backup);
  }
  const backups = found.map(({ manifest }) => manifest);
  return {
    backups: backups.sort((one, other) => Date.parse(instantOf(other)) - Date.parse(instantOf(one))),
    sha256: new Map(found.map(({ manifest, sha256 }) => [manifest.backup, sha256])),
    unusable: unusable.sort((one, other) => one.backup.localeCompare(other.backup)),
  };
}

async function readBackup(
  store: Store,
  ref: BackupId,
  options: Cancellable,
): Promise<StoredManifest | UnusableBackup> {
  const { backup } = ref;
  try {
    const found = await findManifest(store, ref, options);
    if (found !== undefined) return found;
    return {
      backup,
      state: 'unfinished',
      problem: 'It has no manifest: it is being written, or was cut off.',
    };
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const { code, message: problem, remedy } = error;
    if (code === 'BACKUP_DISCARDED') return { backup, state: 'discarded', problem };
    if (code === 'STORE_DAMAGED' || code === 'FORMAT_TOO_NEW') return { backup, state: 'damaged', problem };
    const state = DISTRUSTED.get(code);
    if (state !== undefined) return { backup, state, problem: `${problem} ${remedy}` };
    throw error;
  }
}
