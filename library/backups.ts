import { didYouMean } from '../compiler/closest.ts';
import { secretsOf } from '../engines/resolve-secret.ts';
import { permanent, UsageError } from '../model/errors.ts';
import type { Manifest } from '../model/manifest.ts';
import type { CompiledPlan, RepositorySpec } from '../model/pipeline.ts';
import { isSuspect, listBackups } from '../repository/backups/list-backups.ts';
import { distrustedManifest, readStoredManifest } from '../repository/backups/manifest.ts';
import { planFolder } from '../repository/layout.ts';
import { openStore } from '../repository/open.ts';
import type { Store } from '../repository/store.ts';
import type { Access } from './access.ts';

/** Opens a plan's repository to read its backups directly. Needs no Temporal server. */
export async function withStore<T>(
  access: Access,
  repository: RepositorySpec,
  work: (store: Store) => Promise<T>,
): Promise<T> {
  const store = await openStore(repository, secretsOf(access.environment));
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** Id of the newest backup, whatever its verifications found. Throws `NO_BACKUP` (permanent). */
export function newestBackup(access: Access, plan: CompiledPlan): Promise<string> {
  return withStore(access, plan.pipeline.repository, async (store) => {
    const { backups, unusable } = await listBackups(store, plan.name);
    for (const { backup, problem } of unusable.filter(isSuspect))
      access.tell?.(`warning: backup ${backup}: ${problem}`);
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
export async function requireBackup(access: Access, plan: CompiledPlan, backup: string): Promise<void> {
  const names = await withStore(access, plan.pipeline.repository, (store) =>
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

/**
 * The manifest of one backup: what it holds. Tells where no trusted key signed it.
 *
 * @throws UsageError where there is no such backup; the errors of a manifest that can't be read
 */
export async function readBackup(access: Access, plan: CompiledPlan, backup: string): Promise<ReadBackup> {
  await requireBackup(access, plan, backup);
  const ref = { plan: plan.name, backup };
  const { manifest, signature } = await withStore(access, plan.pipeline.repository, (store) =>
    readStoredManifest(store, ref, { signedBy: 'any' }),
  );
  if (signature !== undefined && signature.state !== 'trusted') {
    access.tell?.(`warning: ${distrustedManifest(ref, signature).message}`);
  }
  return { manifest, ...(signature?.state === 'trusted' ? { signer: signature.signer } : {}) };
}

interface ReadBackup {
  readonly manifest: Manifest;
  /** Whose trusted key signed it. */
  readonly signer?: string;
}
