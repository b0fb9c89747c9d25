import { resolveSecret } from '../activities/secrets.ts';
import { type Check, check } from '../model/check.ts';
import { HoldfastError, permanent } from '../model/errors.ts';
import type { RepositorySpec } from '../model/pipeline.ts';
import { hasOwnCredentials, repositoryForPruning } from '../planning/prune.ts';
import { compareClocks } from '../repository/clock.ts';
import { sha256Hex } from '../repository/sha256.ts';
import type { Store } from '../repository/store.ts';
import { withStore } from './backups.ts';

/** What `holdfast doctor` looks at in a repository: it takes and gives back, deletes only for whom it should, and tells the same time. */

const BODY = Buffer.from('holdfast doctor');
const FOLDER = 'doctor/';

export async function checkRepository(repository: RepositorySpec): Promise<readonly Check[]> {
  return hasOwnCredentials(repository) ? checkDivided(repository) : checkWhole(repository);
}

async function checkWhole(repository: RepositorySpec): Promise<readonly Check[]> {
  const probe = `${FOLDER}${process.pid}-${Date.now()}`;
  let clock: Check | undefined;
  const whole = await check('repository takes, gives back and deletes an object', () =>
    withStore(repository, async (store) => {
      await putAndGet(store, probe);
      clock = await checkClock(store, probe);
      await store.delete([probe]);
      return store.description;
    }),
  );
  return clock === undefined ? [whole] : [whole, clock];
}

/** Backups have no right to delete: so the probe is the prune's to delete, where its credentials are, and else stays, one for all times. */
async function checkDivided(repository: RepositorySpec): Promise<readonly Check[]> {
  const pruning = repositoryForPruning(repository);
  const isPruner = await areHere(pruning);
  const probe = isPruner ? `${FOLDER}${process.pid}-${Date.now()}` : `${FOLDER}probe`;
  let clock: Check | undefined;
  let isDeleted = false;
  const checks = [
    await check('repository takes and gives back an object', () =>
      withStore(repository, async (store) => {
        await putAndGet(store, probe);
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
    const detail = `not on this machine, so ${isDeleted ? 'not tried' : `${probe} stays`}`;
    return [...checks, { name: 'its pruneCredentials delete', ok: true, detail }];
  }
  return [
    ...checks,
    await check('its pruneCredentials delete', () =>
      withStore(pruning, async (store) => {
        await store.delete([probe]);
        return 'they do';
      }),
    ),
  ];
}

async function putAndGet(store: Store, key: string): Promise<void> {
  const sha256 = sha256Hex(BODY);
  await store.put(key, BODY, { sha256, ifAbsent: false });
  await store.get(key, { expect: { sizeBytes: BODY.length, sha256 } });
}

/** Ages and grace times are told by the clock here against the repository's. */
function checkClock(store: Store, probe: string): Promise<Check> {
  return check('the clock here and the repository’s', async () => {
    const clocks = await compareClocks(store, probe, new Date());
    if (clocks === undefined) return 'not compared: somebody else has deleted the object';
    const { here, there, isFarOff } = clocks;
    if (!isFarOff) return 'they agree';
    throw permanent(
      'CLOCK_OFF',
      `${here.toISOString()} here and ${there.toISOString()} there: more than an hour apart`,
      'Set the clocks, best by NTP; until then prune refuses to delete.',
    );
  });
}

async function areHere({ location }: RepositorySpec): Promise<boolean> {
  if (location.kind !== 's3' || location.credentials === undefined) return false;
  const { accessKeyId, secretAccessKey } = location.credentials;
  try {
    await Promise.all([accessKeyId, secretAccessKey].map(resolveSecret));
    return true;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'SECRET_MISSING') return false;
    throw error;
  }
}
