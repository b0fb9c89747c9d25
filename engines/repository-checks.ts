import { hostname } from 'node:os';
import { type Check, check } from '../model/check.ts';
import { HoldfastError, permanent, recover } from '../model/errors.ts';
import type { RepositorySpec } from '../model/pipeline.ts';
import { hasOwnCredentials, repositoryForPruning } from '../planning/prune.ts';
import { listPlans } from '../repository/backups/list-backups.ts';
import { clockOff, compareClocks } from '../repository/clock.ts';
import { REPOSITORY_KEY } from '../repository/layout.ts';
import { openPlace, openStore } from '../repository/open.ts';
import { PROBES_FOLDER, probeStore, putProbe } from '../repository/probe.ts';
import { findRepository } from '../repository/repository.ts';
import type { Store } from '../repository/store.ts';
import { checkEncryption } from './encryption-check.ts';
import { resolveSecret } from './resolve-secret.ts';
import { checkSecretFiles } from './secret-files.ts';
import { checkSigning } from './signing-check.ts';

/** What `holdfast doctor` checks in a repository: objects can be written and read as Holdfast needs it, only those who should can delete, and the clocks agree. */

/** The object that a check leaves behind where writers may not delete. All checks share this one. */
const DIVIDED_PROBE = `${PROBES_FOLDER}probe`;
const PRUNES_DELETE = 'its pruneCredentials delete';
const ownProbe = (): string => `${PROBES_FOLDER}${hostname()}-${process.pid}-${Date.now()}`;

/**
 * Checks the repository from this process, with this process's credentials. Leaves no object behind, except one probe if nobody here may delete it.
 */
export async function checkRepository(repository: RepositorySpec): Promise<readonly Check[]> {
  const ofStore = await (hasOwnCredentials(repository) ? checkDivided(repository) : checkWhole(repository));
  return [
    ...ofStore,
    await checkDocument(repository),
    ...(await checkEncryption(repository)),
    await checkSigning(repository),
    ...(await checkSecretFiles(repository)),
  ];
}

/** Checks that repository.json exists and is whole if there are backups. */
function checkDocument(repository: RepositorySpec): Promise<Check> {
  return check(REPOSITORY_KEY, () =>
    withPlace(repository, async (raw) => {
      const found = await findRepository(raw);
      if (found !== undefined) return `format ${found.formatVersion}, id ${found.id}`;
      for await (const plan of listPlans(raw)) {
        throw permanent(
          'REPOSITORY_NOT_FOUND',
          `it is gone, and there is a folder of backups of ${plan}`,
          'Put back an older version of it, or make it anew: holdfast repository repair PLAN.',
        );
      }
      return 'not there yet: the first backup makes it';
    }),
  );
}

/** Opens the store without its door, which needs repository.json. */
async function withPlace<T>(repository: RepositorySpec, work: (raw: Store) => Promise<T>): Promise<T> {
  const raw = await openPlace(repository, resolveSecret);
  try {
    return await work(raw);
  } finally {
    await raw.close();
  }
}

async function checkWhole(repository: RepositorySpec): Promise<readonly Check[]> {
  const probe = ownProbe();
  let clock: Check | undefined;
  const whole = await check('repository takes, gives back and deletes an object', () =>
    withStore(repository, async (store) => {
      await putProbe(store, probe);
      try {
        await probeStore(store, probe);
        clock = await checkClock(store, probe);
      } finally {
        await store.delete([probe]);
      }
      return store.description;
    }),
  );
  return clock === undefined ? [whole] : [whole, clock];
}

/**
 * Checks a repository in which backups may not delete. If this process has the prune's credentials, they delete the probe. Otherwise the probe
 * stays; all such checks share one.
 */
async function checkDivided(repository: RepositorySpec): Promise<readonly Check[]> {
  const pruning = repositoryForPruning(repository);
  const isPruner = await areHere(pruning);
  const probe = isPruner ? ownProbe() : DIVIDED_PROBE;
  let clock: Check | undefined;
  let isDeleted = false;
  const checks = [
    await check('repository takes and gives back an object', () =>
      withStore(repository, async (store) => {
        await putProbe(store, probe);
        await probeStore(store, probe);
        clock = await checkClock(store, probe);
        return store.description;
      }),
    ),
  ];
  if (clock === undefined) return checks;
  checks.push(
    clock,
    await check('its credentials can’t delete', () =>
      withStore(repository, async (store) => {
        try {
          await store.delete([probe]);
        } catch (error) {
          if (error instanceof HoldfastError && error.code === 'STORE_DENIED') return 'they can’t';
          throw error;
        }
        isDeleted = true;
        throw permanent(
          'STORE_DELETES',
          'they can, so `pruneCredentials` protect nothing',
          'Take the right to delete from `credentials` (docs/retention.md has both policies).',
        );
      }),
    ),
  );
  if (!isPruner) {
    const detail = `not on this worker, so ${isDeleted ? 'not tried' : `${probe} stays`}`;
    return [...checks, { name: PRUNES_DELETE, ok: true, detail }];
  }
  return [
    ...checks,
    await check(PRUNES_DELETE, () =>
      withStore(pruning, async (store) => {
        await store.delete([probe]);
        return 'they do';
      }),
    ),
  ];
}

/** Checks the worker that prunes: with its own credentials it deletes what the other workers can only write. */
export function checkPruneCredentials(repository: RepositorySpec): Promise<Check> {
  return check(PRUNES_DELETE, () =>
    withStore(repositoryForPruning(repository), async (store) => {
      await store.delete([DIVIDED_PROBE]);
      return 'they do';
    }),
  );
}

/** Opens a store for `work` alone: a shared one might hold credentials from before they were changed. */
async function withStore<T>(repository: RepositorySpec, work: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore(repository, resolveSecret);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** Compares the clock here with the repository's: ages and grace times depend on both. */
function checkClock(store: Store, probe: string): Promise<Check> {
  return check('the clock here and the repository’s', async () => {
    const clocks = await compareClocks(store, probe, new Date());
    if (clocks === undefined) return 'not compared: somebody else has deleted the object';
    if (!clocks.isFarOff) return 'they agree';
    throw clockOff(clocks, 'until then prune refuses to delete.');
  });
}

async function areHere({ location }: RepositorySpec): Promise<boolean> {
  if (location.kind === 'directory' || location.kind === 'gcs' || location.credentials === undefined)
    return false;
  const reading = Promise.all(Object.values(location.credentials).map(resolveSecret)).then(() => true);
  return await recover(reading, 'SECRET_MISSING', () => false);
}
