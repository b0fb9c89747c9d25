import { didYouMean } from '../compiler/closest.ts';
import { resolveSecret } from '../engines/resolve-secret.ts';
import type { VerifyReport } from '../model/backup.ts';
import { messageOf, permanent } from '../model/errors.ts';
import type { Manifest } from '../model/manifest.ts';
import type { CompiledPlan, RepositorySpec } from '../model/pipeline.ts';
import { isSuspect, listBackups, type UnusableBackup } from '../repository/backups/list-backups.ts';
import { planFolder } from '../repository/layout.ts';
import { newestReport } from '../repository/ledger.ts';
import { openStore } from '../repository/open.ts';
import { findRepository } from '../repository/repository.ts';
import { deletionText, readDeletions } from '../repository/retention/deletions.ts';
import { holdText, isInForce, readHolds } from '../repository/retention/holds.ts';
import { type Mark, readMarks } from '../repository/retention/marks.ts';
import type { Store } from '../repository/store.ts';
import { isDamage } from '../repository/store-errors.ts';
import { say, UsageError } from './output.ts';

/** Opens a plan's repository to read its backups directly, as `list`, `show` and `restore` do. Needs no server. */
export async function withStore<T>(
  repository: RepositorySpec,
  work: (store: Store) => Promise<T>,
): Promise<T> {
  const store = await openStore(repository, resolveSecret);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** Id of the newest backup, whatever its verifications found. Throws `NO_BACKUP` (permanent). */
export function newestBackup(plan: CompiledPlan): Promise<string> {
  return withStore(plan.pipeline.repository, async (store) => {
    const { backups, unusable } = await listBackups(store, plan.name);
    for (const { backup, problem } of unusable.filter(isSuspect))
      say(`warning: backup ${backup}: ${problem}`);
    const [newest] = backups;
    if (newest !== undefined) return newest.backup;
    throw permanent(
      'NO_BACKUP',
      `the repository ${store.description} holds no backup of ${plan.name}`,
      `Make one: holdfast backup ${plan.file}#${plan.name}.`,
    );
  });
}

/**
 * Refuses an id that is not in the repository at all. Such an id is mistyped: a damaged or unfinished backup still has its folder.
 * Throws a usage error that suggests the id that was probably meant.
 */
export async function requireBackup(plan: CompiledPlan, backup: string): Promise<void> {
  const names = await withStore(plan.pipeline.repository, (store) =>
    Array.fromAsync(store.folders(planFolder(plan.name))),
  );
  if (names.includes(backup)) return;
  throw new UsageError(
    `There is no backup ${backup} of ${plan.name}.`,
    didYouMean(backup, names) ??
      (names.length === 0
        ? `It has none yet: holdfast backup ${plan.file}#${plan.name} makes one.`
        : 'See which there are with `holdfast list`.'),
  );
}

/** The backups of a plan, and the folders that hold no usable backup. */
export interface PlanListing {
  /** Newest first. */
  readonly backups: readonly {
    readonly manifest: Manifest;
    readonly verified: VerifyReport | undefined;
    /** Present where retention is about to delete the backup. */
    readonly mark: Mark | undefined;
    /** Who holds it and why, one clause. */
    readonly held: string | undefined;
    /** Who asked for its deletion and how many have approved, one clause. */
    readonly deletion: string | undefined;
  }[];
  readonly unusable: readonly UnusableBackup[];
}

/** A plan's backups, each with its newest verdict, and what else lies where a backup would. */
export function listPlan(plan: CompiledPlan): Promise<PlanListing> {
  return withStore(plan.pipeline.repository, async (store) => {
    await warnOfDocument(store);
    const { backups, unusable } = await listBackups(store, plan.name);
    const marks = await readMarks(store, plan.name);
    const holds = (await readHolds(store, { plan: plan.name })).filter(isInForce);
    const heldOf = (name: string) => holds.filter(({ backup }) => backup === name).map(holdText);
    const { deletion: spec } = plan.pipeline.repository;
    const asked = spec === undefined ? [] : await readDeletions(store, spec, plan.name);
    const deletions = new Map(asked.map((deletion) => [deletion.backup, deletionText(deletion)]));
    const verified = await Promise.all(backups.map((manifest) => newestVerification(store, manifest)));
    return {
      backups: backups.map((manifest, index) => ({
        manifest,
        verified: verified[index],
        mark: marks.get(manifest.backup),
        deletion: deletions.get(manifest.backup),
        held: heldOf(manifest.backup).join('; ') || undefined,
      })),
      unusable,
    };
  });
}

/** The newest verification of a backup. Where its record is damaged, warns and returns undefined: a record about a backup must not hide the backup. */
async function newestVerification(store: Store, manifest: Manifest): Promise<VerifyReport | undefined> {
  try {
    return await newestReport(store, manifest);
  } catch (error) {
    if (!isDamage(error)) throw error;
    say(`warning: the verifications of ${manifest.backup} can’t be read: ${messageOf(error)}`);
    return undefined;
  }
}

/** Warns of a damaged `repository.json`. A clear repository can be read without it, but no backup can be made. */
async function warnOfDocument(store: Store): Promise<void> {
  try {
    await findRepository(store);
  } catch (error) {
    if (!isDamage(error)) throw error;
    say(`warning: ${messageOf(error)} Mend it: holdfast repository repair PLAN.`);
  }
}
