import type { BackupId } from '../layout.ts';
import { isSeen } from '../signing/register.ts';
import type { Cancellable, Store } from '../store.ts';
import { holdText, isInForce, readHolds } from './holds.ts';

/**
 * Why a backup is missed that has no manifest, or a tombstone in its place: a clause that completes "its manifest is gone, and …". Somebody holds the backup, or
 * the register of a signed repository saw its manifest and no prune struck it out. Then a person, or somebody with malice, took the manifest away, and it can be
 * put back, from an older version or a copy, as long as the rest is there: nothing of the backup may be deleted. Undefined: nobody misses it.
 */
export async function whyMissed(
  store: Store,
  { plan, backup }: BackupId,
  options: Cancellable = {},
): Promise<string | undefined> {
  const held = (await readHolds(store, { plan, backup }, options)).find(isInForce);
  if (held !== undefined) {
    return 'problem' in held ? `${holdText(held)} keeps the backup` : `the backup is ${holdText(held)}`;
  }
  return (await isSeen(store, { plan, backup }, options)) ? 'the register of backups has it' : undefined;
}
