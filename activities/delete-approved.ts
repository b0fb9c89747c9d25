import { recover } from '../model/errors.ts';
import type { PruneInput } from '../model/prune.ts';
import { findManifest } from '../repository/backups/manifest.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { type DeleteOutcome, deleteBackup } from '../repository/retention/delete-backup.ts';
import { type Deletion, isApproved, readDeletions } from '../repository/retention/deletions.ts';
import { findMark } from '../repository/retention/marks.ts';
import type { Pin } from '../repository/retention/pins.ts';
import type { Store } from '../repository/store.ts';
import { ifWhole } from '../repository/store-errors.ts';
import type { Judgement } from './prune.ts';

interface Deleting {
  readonly store: Store;
  readonly signal: AbortSignal;
  readonly heartbeat: (progress?: object) => void;
  readonly holdLease: () => Promise<void>;
  readonly now: Date;
}

/**
 * Deletes the backups whose deletion one of the plan's approvers asked for and enough others approved. A backup that is held, being read, locked by the store
 * or needed by another backup stays, and the next prune tries again.
 */
export async function deleteApproved(
  { store, signal, heartbeat, holdLease, now }: Deleting,
  { repository, plan }: PruneInput,
  { verdicts, isLive }: Pick<Judgement, 'verdicts'> & { readonly isLive: (pin: Pin) => Promise<boolean> },
): Promise<readonly { readonly backup: string; readonly ended: DeleteOutcome }[]> {
  const approved = await approvedDeletions(store, { repository, plan }, verdicts, signal);
  if (approved.length === 0) return [];
  const { entries } = await readCatalogue(store, repository, plan, { signal });
  const done: { readonly backup: string; readonly ended: DeleteOutcome }[] = [];
  for (const { backup, askedBy, approvedBy } of approved) {
    const ref = { plan, backup };
    const lockedUntil = entries.find((entry) => entry.backup === backup)?.lockedUntil;
    const user = entries.find(({ needs = [] }) => needs.includes(backup));
    const obstacle =
      user !== undefined
        ? `${user.backup}, which can't be restored without it`
        : lockedUntil !== undefined && Date.parse(lockedUntil) > now.getTime()
          ? `the store's lock until ${lockedUntil}`
          : undefined;
    if (obstacle !== undefined) {
      done.push({ backup, ended: { outcome: 'inUse', reader: obstacle } });
      continue;
    }
    await holdLease();
    // If this run dies and the request is withdrawn, retention counts the grace time from this mark and not from the request.
    const marked = now.toISOString();
    const mark = (await findMark(store, ref, { signal })) ?? {
      ...ref,
      markedAt: marked,
      deleteAfter: marked,
    };
    const reason = `its deletion was asked for by ${askedBy} and approved by ${approvedBy.join(', ')}`;
    done.push({ backup, ended: await deleteBackup(store, mark, { reason, isLive, signal, heartbeat }) });
  }
  return done;
}

/**
 * The approved requests whose backups still exist and have not changed since. One that was made since retention drops the backup counts only while it does: a
 * slip in the plan may have been mended meanwhile.
 */
export async function approvedDeletions(
  store: Store,
  { repository, plan }: Pick<PruneInput, 'repository' | 'plan'>,
  verdicts: Judgement['verdicts'],
  signal: AbortSignal,
): Promise<readonly Deletion[]> {
  const { deletion: spec } = repository;
  if (spec === undefined) return [];
  const kept = new Set(verdicts.filter(({ keep }) => keep).map(({ backup }) => backup));
  const approved: Deletion[] = [];
  for (const deletion of (await readDeletions(store, spec, plan, { signal })).filter(isApproved)) {
    if (deletion.dropped === true && kept.has(deletion.backup)) continue;
    const found = await digestOf(store, { plan, backup: deletion.backup }, signal);
    if (found === deletion.manifestSha256) approved.push(deletion);
  }
  return approved;
}

/** The SHA-256 of the stored manifest. Undefined where there is none, so that nothing is left to delete. */
async function digestOf(
  store: Store,
  ref: { readonly plan: string; readonly backup: string },
  signal: AbortSignal,
): Promise<string | undefined> {
  const finding = findManifest(store, ref, { signal, signedBy: 'any' });
  const found = await recover(ifWhole(finding), 'BACKUP_DISCARDED', () => undefined);
  return found?.sha256;
}
