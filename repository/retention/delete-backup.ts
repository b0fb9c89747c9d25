import { defined } from '../../model/defined.ts';
import { HoldfastError } from '../../model/errors.ts';
import { findManifest } from '../backups/manifest.ts';
import { crashPoint } from '../crash-points.ts';
import { type BackupId, ledgerFolder, manifestKey, signatureFolder } from '../layout.ts';
import { replaceSealed } from '../sealed-object.ts';
import { leaveRegister } from '../signing/register.ts';
import type { Cancellable, Store } from '../store.ts';
import { holdText, isInForce, readHolds } from './holds.ts';
import { findMark, type Mark, putMark, removeMark } from './marks.ts';
import { whyMissed } from './missed.ts';
import { type Pin, readPins } from './pins.ts';
import { type SweepOptions, type SweepResult, sweepBackup, tombstone } from './sweep.ts';

interface DeleteOptions extends SweepOptions {
  /** Written into the tombstone. */
  readonly reason: string;
  /** Whether the reader of a pin still runs. */
  readonly isLive: (pin: Pin) => Promise<boolean>;
}

export type DeleteOutcome =
  | ({ readonly outcome: 'deleted' } & SweepResult)
  | { readonly outcome: 'inUse'; readonly reader: string };

/**
 * Deletes a finished, marked backup, in this order. A crash after any step is safe:
 *
 * 1. The mark says that deletion has begun. From now on no new reader begins.
 * 2. Pins and holds are read. If the reader of a pin is alive, or somebody holds the backup, the mark is reset and the backup stays.
 * 3. In a signed repository, the register of backups strikes the backup out: a backup that is missing without that counts as hidden. Then one put replaces the
 *    manifest by a tombstone. Until then the backup is whole; from then on it doesn't exist (M1), so no manifest ever names a missing object (M2). The
 *    tombstone stays for a grace time, against late writers.
 * 4. The objects are deleted (M5: no manifest names them any more), then the ledger, then the mark.
 *
 * After a crash behind step 3, `sweepBackup` goes on from the tombstone. After an earlier crash, the next prune judges the backup anew.
 */
export async function deleteBackup(store: Store, mark: Mark, options: DeleteOptions): Promise<DeleteOutcome> {
  const cancellable = defined({ signal: options.signal });
  // A process that can't sign must not begin: its mark would keep readers away from a backup that stays.
  await store.signing?.key();
  const before = await findMark(store, mark, cancellable);
  await putMark(store, { ...mark, deleting: true }, cancellable);
  crashPoint('delete-marked');
  for (const pin of await readPins(store, { plan: mark.plan, backup: mark.backup }, cancellable)) {
    if (pin.ended === true || !(await options.isLive(pin))) continue;
    await putBack(store, mark, before, cancellable);
    return { outcome: 'inUse', reader: pin.reader };
  }
  const [held] = (await readHolds(store, mark, cancellable)).filter(isInForce);
  if (held !== undefined) {
    await putBack(store, mark, before, cancellable);
    return { outcome: 'inUse', reader: holdText(held) };
  }
  await leaveRegister(store, mark, cancellable);
  await replaceSealed(store, manifestKey(mark), tombstone(mark, options.reason, true), cancellable);
  crashPoint('delete-tombstone');
  const swept = await sweepBackup(store, mark, options);
  crashPoint('delete-swept');
  await forgetBackup(store, mark, options);
  return { outcome: 'deleted', ...swept };
}

/** Restores the mark as it was. If retention had not made one, none may stay: its grace time would count if retention drops the backup later. */
async function putBack(
  store: Store,
  ref: BackupId,
  before: Mark | undefined,
  cancellable: Cancellable,
): Promise<void> {
  if (before === undefined) return removeMark(store, ref, cancellable);
  const { deleting: _withdrawn, ...mark } = before;
  return putMark(store, mark, cancellable);
}

/**
 * Removes the records of a marked backup that is gone. One with a damaged manifest is not gone, nor one that somebody misses (`missed.ts`): its manifest may be
 * put back, and may count by a signature that lies beside it.
 */
export async function forgetIfGone(store: Store, mark: Mark, options: Cancellable = {}): Promise<void> {
  try {
    if ((await findManifest(store, mark, { ...options, signedBy: 'any' })) !== undefined) return;
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'BACKUP_DISCARDED') return;
  }
  if ((await whyMissed(store, mark, options)) === undefined) await forgetBackup(store, mark, options);
}

/** Removes the records of a deleted backup: its ledger, the signatures beside it, and last its mark. */
export async function forgetBackup(store: Store, ref: BackupId, options: Cancellable = {}): Promise<void> {
  const cancellable = defined({ signal: options.signal });
  for (const folder of [ledgerFolder(ref), signatureFolder(manifestKey(ref))]) {
    const keys = await Array.fromAsync(store.list(folder, cancellable), ({ key }) => key);
    await store.delete(keys, cancellable);
  }
  await removeMark(store, ref, cancellable);
}
