import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError, recover } from '../../model/errors.ts';
import type { UniverseSource } from '../../model/pipeline.ts';
import { findManifest } from '../../repository/backups/manifest.ts';
import { snapshotLedgersFolder } from '../../repository/layout.ts';
import { endNotes } from '../../repository/notes.ts';
import { ifWhole } from '../../repository/store-errors.ts';
import type { BackupContext } from '../engine.ts';
import { orphanOf } from './snapshot.ts';
import { readLedger } from './snapshot-ledger.ts';
import { openUniverse } from './universe.ts';
import { YB_ADMIN } from './yb-admin/errors.ts';
import type { YbAdmin } from './yb-admin/program.ts';
import { deleteSnapshot, findSnapshot } from './yb-admin/snapshots.ts';

const POLL_MS = 1_000;
/** How long to wait for a deletion, in milliseconds. One has been seen to hang (YugabyteDB issue 25628); the universe goes on with it. */
const DELETION_WAIT_MS = 30_000;

/**
 * Deletes every snapshot that was begun in the universe for this backup, even one whose id was lost with its worker, and then their entries in the
 * ledger. If one can't be deleted, the others are deleted all the same, and the first failure is thrown at the end.
 */
export async function releaseSnapshots(
  context: BackupContext,
  source: UniverseSource,
): Promise<{ readonly deleted: number }> {
  const entries = await readLedger(context);
  if (entries.length === 0) return { deleted: 0 };
  const universe = await openUniverse(context, source);
  const failures: HoldfastError[] = [];
  let deleted = 0;
  for (const { intent, snapshot, name, keys } of entries) {
    try {
      const id = snapshot ?? (await orphanOf(universe, intent));
      if (id !== undefined && (await deleteAndSee(universe.admin, context, id))) deleted += 1;
      await endNotes(context.store, name, keys, { signal: context.signal });
    } catch (error) {
      context.signal.throwIfAborted();
      if (!(error instanceof HoldfastError)) throw error;
      failures.push(error);
    }
  }
  const [first] = failures;
  if (first !== undefined) throw first;
  return { deleted };
}

/**
 * Deletes snapshots that other backups of the plan left in the universe, as a terminated run does: those of backups that have ended, with a
 * manifest or a tombstone, and those that are older than `snapshotRetentionMs`. A failure is logged and doesn't stop this backup. The next backup
 * tries again, and the universe itself deletes snapshots when their retention is over.
 */
export async function releaseLeftovers(context: BackupContext, source: UniverseSource): Promise<void> {
  const { store, ref, signal } = context;
  const oldest = Date.now() - source.snapshotRetentionMs;
  for await (const backup of store.folders(snapshotLedgersFolder(ref.plan), { signal })) {
    if (backup === ref.backup) continue;
    const other = { ...context, ref: { ...ref, backup } };
    try {
      const entries = await readLedger(other);
      const isOld = entries.every(({ intent }) => Date.parse(intent.at) < oldest);
      if (entries.length > 0 && (isOld || (await hasEnded(other)))) await releaseSnapshots(other, source);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof HoldfastError)) throw error;
      context.log('what an earlier backup left in the universe can not be deleted now', {
        backup,
        reason: error.message,
      });
    }
  }
}

async function hasEnded({ store, ref, signal }: BackupContext): Promise<boolean> {
  // A damaged manifest is reported by verify. Its snapshots are deleted when they are old.
  const finding = ifWhole(findManifest(store, ref, { signal, signedBy: 'any' }));
  return await recover(
    finding.then((found) => found !== undefined),
    'BACKUP_DISCARDED',
    () => true,
  );
}

/** Deletes a snapshot, and waits up to 30 s until the universe shows it deleted. Returns false if it was gone already. */
export async function deleteAndSee(admin: YbAdmin, context: BackupContext, id: string): Promise<boolean> {
  const isThere = await recover(
    deleteSnapshot(admin, id).then(() => true),
    YB_ADMIN.notFound,
    () => false,
  );
  if (!isThere) return false;
  const deadline = Date.now() + DELETION_WAIT_MS;
  while (Date.now() < deadline) {
    const state = (await findSnapshot(admin, id))?.state;
    if (state === undefined || state === 'DELETED') return true;
    context.heartbeat({ deleting: id, state });
    await sleep(POLL_MS, undefined, { signal: context.signal });
  }
  context.log('the universe has not finished deleting a snapshot', { snapshot: id });
  return true;
}
