import { resolveSecret } from '../activities/secrets.ts';
import type { VerifyReport } from '../model/backup.ts';
import { permanent } from '../model/errors.ts';
import type { Manifest } from '../model/manifest.ts';
import type { CompiledPlan, RepositorySpec } from '../model/pipeline.ts';
import { newestReport } from '../repository/ledger.ts';
import { listBackups, type UnusableBackup } from '../repository/list-backups.ts';
import { readManifest } from '../repository/manifest.ts';
import { openStore } from '../repository/open.ts';
import type { Store } from '../repository/store.ts';
import { parseInstant } from './instant.ts';
import { say } from './output.ts';

/** Reading a plan's backups straight from the repository, as `list`, `show` and `restore` do: no server needed. */
export async function withStore<T>(
  repository: RepositorySpec,
  work: (store: Store) => Promise<T>,
): Promise<T> {
  const store = await openStore(repository.location, resolveSecret);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

export interface ChosenBackup {
  readonly backup: string;
  /** The instant whose data it holds. */
  readonly instant: string;
  readonly databases: readonly string[];
}

export interface BackupWish {
  /** This one and no other. */
  readonly backup?: string;
  /** The newest at or before this time. */
  readonly to?: string;
  /** True: not one whose last verification found damage, unless it is named. */
  readonly sound?: boolean;
}

/** The backup that `--backup` names, or the newest at or before `--to`, or the newest; what is passed over is told. */
export async function chooseBackup(plan: CompiledPlan, wish: BackupWish): Promise<ChosenBackup> {
  return withStore(plan.pipeline.repository, async (store) => {
    if (wish.backup !== undefined) {
      return chosen(await readManifest(store, { plan: plan.name, backup: wish.backup }));
    }
    const { backups, unusable } = await listBackups(store, plan.name);
    for (const { backup, state, problem } of unusable) {
      if (state === 'damaged') say(`warning: backup ${backup}: ${problem}`);
    }
    const latestMs =
      wish.to === undefined ? Number.POSITIVE_INFINITY : parseInstant(wish.to, new Date()).getTime();
    for (const manifest of backups.filter((each) => instantOf(each) <= latestMs)) {
      const verified = wish.sound ? await newestReport(store, manifest) : undefined;
      if (verified?.verdict !== 'FAILED') return chosen(manifest);
      say(`warning: backup ${manifest.backup} is passed over: its last verification found damage`);
    }
    const oldest = backups.at(-1);
    throw permanent(
      'NO_BACKUP',
      oldest === undefined
        ? `the repository ${store.description} holds no backup of ${plan.name}`
        : `no sound backup of ${plan.name} is old enough; the oldest holds the data of ${oldest.readPoint.takenAt}`,
      oldest === undefined
        ? `Make one: holdfast backup ${plan.file}#${plan.name}.`
        : 'Choose a later time, or a backup with --backup (holdfast list shows them).',
    );
  });
}

function chosen(manifest: Manifest): ChosenBackup {
  return {
    backup: manifest.backup,
    instant: manifest.readPoint.takenAt,
    databases: manifest.databases.map(({ name }) => name),
  };
}

function instantOf(manifest: Manifest): number {
  return Date.parse(manifest.readPoint.takenAt);
}

export interface PlanListing {
  /** Newest first. */
  readonly backups: readonly { readonly manifest: Manifest; readonly verified: VerifyReport | undefined }[];
  readonly unusable: readonly UnusableBackup[];
}

/** A plan's backups with the newest verdict of each, and what else lies where a backup would. */
export function listPlan(plan: CompiledPlan): Promise<PlanListing> {
  return withStore(plan.pipeline.repository, async (store) => {
    const { backups, unusable } = await listBackups(store, plan.name);
    const verified = await Promise.all(backups.map((manifest) => newestReport(store, manifest)));
    return {
      backups: backups.map((manifest, index) => ({ manifest, verified: verified[index] })),
      unusable,
    };
  });
}
