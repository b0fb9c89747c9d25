import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { listBackups } from '../../../repository/backups/list-backups.ts';
import { verifyBackup } from '../../../repository/backups/verify.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { removeOrphans } from '../../../repository/retention/sweep.ts';
import { crashingAt, pausingAt } from '../failing-store.ts';
import { SAMPLE, writeSampleBackup } from '../sample-backup.ts';
import { backupSide, newPeople, type People, restoreSide } from './recipients.ts';
import { clearFiles } from './thief.ts';

/** More operations than a writer makes below the encryption, so that some writers come through. */
const LAST_OPERATION = 110;
const RUNS = { numRuns: 25 };
/** In the future: everything is older. */
const NO_GRACE_MS = -60_000;

/* Each writer is a process of its own: without an identity, and with a data key of its own. It dies, or stands still, between any two calls of the store below. */

describe('whatever becomes of a writer that encrypts', () => {
  let scratch: ScratchFolder;
  let people: People;
  let runs = 0;
  beforeAll(async () => {
    scratch = await createScratchFolder('encrypted-crash');
    people = await newPeople();
  });
  afterAll(() => scratch.remove());

  async function emptyPlace(): Promise<{ readonly root: string; readonly raw: DirectoryStore }> {
    const root = path.join(scratch.path, String(++runs));
    await mkdir(root);
    return { root, raw: new DirectoryStore(root) };
  }

  async function checkInvariants(root: string, raw: DirectoryStore): Promise<boolean> {
    expect(await clearFiles(root)).toEqual([]);
    const reader = restoreSide(raw, people);
    const { backups, unusable } = await listBackups(reader, SAMPLE.plan);
    expect(unusable.filter(({ state }) => state === 'damaged')).toEqual([]);
    if (backups.length === 0) return false;
    await expect(verifyBackup(reader, SAMPLE, 'content')).resolves.toMatchObject({
      verdict: 'OK',
      problems: [],
    });
    return true;
  }

  it('after a crash nothing is clear, what is listed is whole, and a second process finishes the backup', async () => {
    const crash = fc.record({
      crashAt: fc.integer({ min: 1, max: LAST_OPERATION }),
      kind: fc.constantFrom('before' as const, 'performed' as const),
      chunks: fc.integer({ min: 1, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(crash, async ({ crashAt, kind, chunks }) => {
        const { root, raw } = await emptyPlace();
        const dying = backupSide(crashingAt(raw, crashAt, kind), people);
        const end = writeSampleBackup(dying, { epoch: 1, chunks }).then(
          () => 'finished' as const,
          () => 'died' as const,
        );
        const ended = await end;
        const exists = await checkInvariants(root, raw);
        if (ended === 'finished') expect(exists).toBe(true);
        await writeSampleBackup(backupSide(raw, people), { epoch: 1, chunks: 2 });
        await expect(checkInvariants(root, raw)).resolves.toBe(true);
      }),
      RUNS,
    );
  });

  it('two processes that make one backup at once, with two data keys, make one that is whole', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: LAST_OPERATION }), async (pauseAt) => {
        const { root, raw } = await emptyPlace();
        const asleep = Promise.withResolvers<'asleep'>();
        const awake = Promise.withResolvers<void>();
        const paused = pausingAt(raw, pauseAt, () => asleep.resolve('asleep'), awake.promise);
        const settings = { epoch: 1, chunks: 2 };
        const sleeper = writeSampleBackup(backupSide(paused, people), settings).then(
          () => undefined,
          // Its own work was swept away meanwhile, which is how it learns that another one has finished.
          (error: unknown) => error,
        );
        await Promise.race([asleep.promise, sleeper]);
        await writeSampleBackup(backupSide(raw, people), settings);
        awake.resolve();
        await sleeper;
        await removeOrphans(backupSide(raw, people), SAMPLE.plan, NO_GRACE_MS);
        await expect(checkInvariants(root, raw)).resolves.toBe(true);
      }),
      RUNS,
    );
  });
});
