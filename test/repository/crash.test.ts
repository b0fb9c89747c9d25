import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import * as fc from 'fast-check';
import { HoldfastError } from '../../model/errors.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { listBackups } from '../../repository/backups/list-backups.ts';
import { findManifest, readNamedObjects, type StoredManifest } from '../../repository/backups/manifest.ts';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { backupFolder } from '../../repository/layout.ts';
import { readRepository } from '../../repository/repository.ts';
import { discardBackup, findOrphans, removeOrphans } from '../../repository/retention/sweep.ts';
import type { Store } from '../../repository/store.ts';
import { crashingAt, pausingAt } from './failing-store.ts';
import { SAMPLE, SAMPLE_ROWS, writeSampleBackup } from './sample-backup.ts';

/** More operations than a writer makes, so that some writers come through. */
const LAST_OPERATION = 75;
const RUNS = { seed: 20261123, numRuns: 30 };
/** In the future: everything is older. */
const NO_GRACE_MS = -60_000;

const crash = fc.record({
  crashAt: fc.integer({ min: 1, max: LAST_OPERATION }),
  kind: fc.constantFrom('before' as const, 'performed' as const),
});
const settings = fc.record({
  epoch: fc.integer({ min: 1, max: 2 }),
  chunks: fc.integer({ min: 1, max: 4 }),
  packed: fc.boolean(),
});

/** The invariants of docs/repository-format.md, under writers that die, are slow or doubled at any operation. */
describe('whatever becomes of a writer', () => {
  let scratch: ScratchFolder;
  let runs = 0;
  beforeAll(async () => {
    scratch = await createScratchFolder('repository-crash');
  });
  afterAll(() => scratch.remove());

  async function emptyStore(): Promise<Store> {
    const root = path.join(scratch.path, String(++runs));
    await mkdir(root);
    return new DirectoryStore(root);
  }

  it('the repository keeps its invariants after a crash, and a second writer finishes the backup', async () => {
    await fc.assert(
      fc.asyncProperty(crash, settings, settings, async ({ crashAt, kind }, first, second) => {
        const store = await emptyStore();
        await outcomeOf(writeSampleBackup(crashingAt(store, crashAt, kind), first));
        const crashed = await checkInvariants(store);

        const finished = await writeSampleBackup(store, second);
        // Written once: the manifest that a crashed writer completed is the one that stays.
        if (crashed !== undefined) expect(finished.sha256).toBe(crashed.sha256);
        await checkFinished(store);
      }),
      RUNS,
    );
  });

  it.each([
    { epoch: 1, packed: false },
    { epoch: 2, packed: false },
    { epoch: 1, packed: true },
  ])(
    'a writer taken for dead that wakes up beside its successor, in epoch $epoch, spoils nothing, wherever it had stood still (packs: $packed)',
    async ({ epoch, packed }) => {
      for await (const { store, late } of sleepersAtEachOperation(async (inner) => {
        // Cut otherwise, as two exports may.
        await writeSampleBackup(inner, { epoch, chunks: 3, packed });
        return findManifest(inner, SAMPLE);
      }, packed)) {
        // The sleeper comes to the same backup, or finds its own work swept away and stops.
        if ('value' in late.outcome) expect(late.outcome.value.sha256).toBe(late.meanwhile?.sha256);
        await removeOrphans(store, SAMPLE.plan, NO_GRACE_MS);
        await checkFinished(store);
      }
    },
  );

  it('a writer that wakes up after its backup was given up can not finish it, wherever it had stood still', async () => {
    for await (const { store, late } of sleepersAtEachOperation((inner) =>
      discardBackup(inner, SAMPLE, 'cancelled'),
    )) {
      const manifest = await checkInvariants(store);
      if (manifest === undefined) {
        expect('error' in late.outcome && late.outcome.error instanceof HoldfastError).toBe(true);
        await removeOrphans(store, SAMPLE.plan, NO_GRACE_MS);
        await expect(namesIn(store)).resolves.toEqual([]);
      } else {
        // It had finished before it was given up, so that nothing was.
        await removeOrphans(store, SAMPLE.plan, NO_GRACE_MS);
        await checkFinished(store);
      }
    }
  });

  /** For each operation of a writer: it stands still there, `meanwhile` runs to its end, and the writer goes on to its own. */
  async function* sleepersAtEachOperation<T>(
    meanwhile: (store: Store) => Promise<T>,
    packed = false,
  ): AsyncGenerator<{
    readonly store: Store;
    readonly late: { readonly outcome: Outcome; readonly meanwhile: T };
  }> {
    for (let pauseAt = 1; ; pauseAt++) {
      const store = await emptyStore();
      const asleep = Promise.withResolvers<'asleep'>();
      const awake = Promise.withResolvers<void>();
      const paused = pausingAt(store, pauseAt, () => asleep.resolve('asleep'), awake.promise);
      const sleeper = outcomeOf(writeSampleBackup(paused, { epoch: 1, chunks: 2, packed }));
      // It has come through without that many operations: every one has been seen.
      if ((await Promise.race([asleep.promise, sleeper])) !== 'asleep') return;
      const done = await meanwhile(store);
      awake.resolve();
      yield { store, late: { outcome: await sleeper, meanwhile: done } };
    }
  }
});

type Outcome = { readonly value: StoredManifest } | { readonly error: unknown };

async function outcomeOf(writer: Promise<StoredManifest>): Promise<Outcome> {
  try {
    return { value: await writer };
  } catch (error) {
    return { error };
  }
}

/** The manifest, if there is one. */
async function checkInvariants(store: Store): Promise<StoredManifest | undefined> {
  const { backups, unusable } = await listBackups(store, SAMPLE.plan);
  // No crash damages anything.
  expect(unusable.filter(({ state }) => state === 'damaged')).toEqual([]);
  if (backups.length === 0) return undefined;
  // A backup exists if and only if its manifest exists, and then all of it is there, byte for byte.
  await readRepository(store);
  const report = await verifyBackup(store, SAMPLE, 'content');
  expect(report).toMatchObject({ verdict: 'OK', problems: [] });
  const manifest = await findManifest(store, SAMPLE);
  expect(manifest?.manifest.totals.rows).toBe(SAMPLE_ROWS.orders + SAMPLE_ROWS['order lines']);
  return manifest;
}

async function checkFinished(store: Store): Promise<void> {
  const stored = await checkInvariants(store);
  if (stored === undefined) throw new Error('the backup has no manifest');
  const named = await Array.fromAsync(readNamedObjects(store, stored.manifest), ({ entry }) => entry.key);
  await expect(namesIn(store)).resolves.toEqual(['manifest.json', ...named].sort());
  await expect(Array.fromAsync(findOrphans(store, SAMPLE.plan, NO_GRACE_MS))).resolves.toEqual([]);
}

async function namesIn(store: Store): Promise<string[]> {
  const folder = backupFolder(SAMPLE);
  const names = await Array.fromAsync(store.list(folder), ({ key }) => key.slice(folder.length));
  return names.sort();
}
