import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import { HoldfastError } from '../../model/errors.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { listBackups } from '../../repository/backups/list-backups.ts';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { type BackupId, backupFolder, ledgerFolder, retentionFolder } from '../../repository/layout.ts';
import { LEASE_MS, type LeaseHolder, releaseLease, takeLease } from '../../repository/lease.ts';
import { recordReport } from '../../repository/ledger.ts';
import { deleteBackup, forgetBackup } from '../../repository/retention/delete-backup.ts';
import { findMark, type Mark, putMark, readMarks } from '../../repository/retention/marks.ts';
import { type Pin, putPin, readPins, removePin } from '../../repository/retention/pins.ts';
import { removeOrphans } from '../../repository/retention/sweep.ts';
import type { Store } from '../../repository/store.ts';
import { crashingAt, pausingAt } from './failing-store.ts';
import { SAMPLE, writeSampleBackup } from './sample-backup.ts';

const OTHER: BackupId = { ...SAMPLE, backup: '20261124T020000Z-other' };
/** In the future: everything is older. */
const NO_GRACE_MS = -60_000;
const MARK: Mark = {
  ...SAMPLE,
  markedAt: '2026-11-24T00:00:00.000Z',
  deleteAfter: '2026-11-24T01:00:00.000Z',
};
const PIN: Pin = {
  ...SAMPLE,
  reader: 'restore:orders:r1',
  workflowId: 'restore:orders:r1',
  pinnedAt: '2026-11-24T00:00:00.000Z',
  expiresAt: '2026-11-25T00:00:00.000Z',
};
const EVERY_PIN_IS_LIVE = { reason: 'retention', isLive: async () => true };

let scratch: ScratchFolder;
let stores = 0;
beforeAll(async () => {
  scratch = await createScratchFolder('delete-backup');
});
afterAll(() => scratch.remove());

async function emptyStore(): Promise<Store> {
  const root = path.join(scratch.path, String(++stores));
  await mkdir(root);
  return new DirectoryStore(root);
}

/** Two backups, verified; the first is marked. */
async function markedStore(): Promise<Store> {
  const store = await emptyStore();
  for (const ref of [SAMPLE, OTHER]) {
    await writeSampleBackup(store, { epoch: 1, chunks: 2 }, ref);
    await recordReport(store, {
      ...ref,
      level: 'content',
      verdict: 'OK',
      checkedObjects: 1,
      checkedBytes: 1,
      problems: [],
      startedAt: '2026-11-23T05:00:00.000Z',
      finishedAt: '2026-11-23T05:01:00.000Z',
    });
  }
  await putMark(store, MARK);
  return store;
}

const keysUnder = (store: Store, prefix: string) => Array.fromAsync(store.list(prefix), ({ key }) => key);

/** M1 and M2: what is listed is whole, and nothing is damaged. */
async function listedBackups(store: Store): Promise<string[]> {
  const { backups, unusable } = await listBackups(store, SAMPLE.plan);
  expect(unusable.filter(({ state }) => state === 'damaged')).toEqual([]);
  for (const manifest of backups) {
    await expect(verifyBackup(store, manifest, 'content')).resolves.toMatchObject({ verdict: 'OK' });
  }
  return backups.map(({ backup }) => backup).sort();
}

/** What a later prune does: what is still there is deleted, what has begun to go is finished. */
async function pruneAgain(store: Store): Promise<void> {
  const { backups } = await listBackups(store, SAMPLE.plan);
  const mark = await findMark(store, SAMPLE);
  if (backups.some(({ backup }) => backup === SAMPLE.backup)) {
    await deleteBackup(store, mark ?? MARK, EVERY_PIN_IS_LIVE);
  } else await forgetBackup(store, SAMPLE);
  await removeOrphans(store, SAMPLE.plan, NO_GRACE_MS);
}

async function outcomeOf<T>(work: Promise<T>): Promise<{ readonly value: T } | { readonly error: unknown }> {
  try {
    return { value: await work };
  } catch (error) {
    return { error };
  }
}

describe('the deletion of a backup', () => {
  it('takes all of it and nothing of another one, and leaves a tombstone for a grace time', async () => {
    const store = await markedStore();
    await expect(deleteBackup(store, MARK, EVERY_PIN_IS_LIVE)).resolves.toMatchObject({
      outcome: 'deleted',
      deletedObjects: expect.any(Number),
    });
    await expect(listedBackups(store)).resolves.toEqual([OTHER.backup]);
    await expect(keysUnder(store, backupFolder(SAMPLE))).resolves.toEqual([
      `${backupFolder(SAMPLE)}manifest.json`,
    ]);
    const { unusable } = await listBackups(store, SAMPLE.plan);
    expect(unusable).toEqual([
      expect.objectContaining({
        state: 'discarded',
        problem: expect.stringMatching(/was deleted at .*: retention/),
      }),
    ]);
    // Nobody can finish it again, nor write it anew under its name.
    await expect(writeSampleBackup(store)).rejects.toMatchObject({ code: 'BACKUP_DISCARDED' });
    await removeOrphans(store, SAMPLE.plan, NO_GRACE_MS);
    for (const folder of [backupFolder(SAMPLE), ledgerFolder(SAMPLE), retentionFolder(SAMPLE.plan)]) {
      await expect(keysUnder(store, folder)).resolves.toEqual([]);
    }
  });

  it('keeps the invariants wherever it dies, and a later one brings it to its end', async () => {
    let crashes = 0;
    let whole = 0;
    for (let crashAt = 1, ended = false; !ended; crashAt++) {
      for (const kind of ['before', 'performed'] as const) {
        const store = await markedStore();
        const first = await outcomeOf(
          deleteBackup(crashingAt(store, crashAt, kind), MARK, EVERY_PIN_IS_LIVE),
        );
        ended = 'value' in first;
        crashes += 1;
        const listed = await listedBackups(store);
        expect(listed).toContain(OTHER.backup);
        if (listed.includes(SAMPLE.backup)) whole += 1;
        await pruneAgain(store);
        await expect(listedBackups(store)).resolves.toEqual([OTHER.backup]);
        const left = await keysUnder(store, '');
        expect(left.filter((key) => key.includes(SAMPLE.backup))).toEqual([]);
      }
    }
    expect(whole).toBeGreaterThan(2);
    process.stdout.write(
      `    ${crashes} crashes of a deletion, at each of its operations, before and after it took effect\n`,
    );
  });

  it('keeps them when it dies again and again at random', async () => {
    const CASES = 40;
    const crash = fc.record({
      at: fc.integer({ min: 1, max: 25 }),
      kind: fc.constantFrom('before', 'performed'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(crash, { minLength: 2, maxLength: 6 }), async (crashes) => {
        const store = await markedStore();
        for (const { at, kind } of crashes) {
          await outcomeOf(pruneAgain(crashingAt(store, at, kind)));
          expect(await listedBackups(store)).toContain(OTHER.backup);
        }
        await pruneAgain(store);
        await expect(listedBackups(store)).resolves.toEqual([OTHER.backup]);
        expect((await keysUnder(store, '')).filter((key) => key.includes(SAMPLE.backup))).toEqual([]);
      }),
      { numRuns: CASES },
    );
    process.stdout.write(`    ${CASES} series of crashes\n`);
  });
});

describe('a reader beside a deletion', () => {
  it('is waited for: its backup stays, marked as before', async () => {
    const store = await markedStore();
    await putPin(store, PIN);
    await expect(deleteBackup(store, MARK, EVERY_PIN_IS_LIVE)).resolves.toEqual({
      outcome: 'inUse',
      reader: PIN.reader,
    });
    await expect(listedBackups(store)).resolves.toContain(SAMPLE.backup);
    await expect(readMarks(store, SAMPLE.plan)).resolves.toEqual(new Map([[SAMPLE.backup, MARK]]));
    await expect(readPins(store, SAMPLE)).resolves.toEqual([PIN]);
    await removePin(store, PIN);
    await expect(deleteBackup(store, MARK, EVERY_PIN_IS_LIVE)).resolves.toMatchObject({ outcome: 'deleted' });
  });

  it('is not waited for once it is gone', async () => {
    const store = await markedStore();
    await putPin(store, PIN);
    await expect(
      deleteBackup(store, MARK, { reason: 'retention', isLive: async () => false }),
    ).resolves.toMatchObject({ outcome: 'deleted' });
  });

  it('and the deletion never both go on, wherever either stands still', async () => {
    let pairs = 0;
    const ends = { read: 0, deleted: 0 };
    const read = (store: Store) => outcomeOf(putPin(store, PIN));
    const remove = (store: Store) => outcomeOf(deleteBackup(store, MARK, EVERY_PIN_IS_LIVE));
    for (const sleeper of ['reader', 'deleter'] as const) {
      for (let pauseAt = 1; ; pauseAt++) {
        const store = await markedStore();
        const asleep = Promise.withResolvers<'asleep'>();
        const awake = Promise.withResolvers<void>();
        const paused = pausingAt(store, pauseAt, () => asleep.resolve('asleep'), awake.promise);
        const late = sleeper === 'reader' ? read(paused) : remove(paused);
        if ((await Promise.race([asleep.promise, late])) !== 'asleep') break;
        const other = sleeper === 'reader' ? await remove(store) : await read(store);
        awake.resolve();
        const [reader, deleter] = sleeper === 'reader' ? [await late, other] : [other, await late];
        pairs += 1;
        const reads = 'value' in reader;
        if (!reads) {
          expect(reader.error).toBeInstanceOf(HoldfastError);
          expect(reader.error).toMatchObject({ code: 'BACKUP_BEING_DELETED' });
        }
        if (!('value' in deleter)) throw deleter.error;
        const value = deleter.value as Awaited<ReturnType<typeof deleteBackup>>;
        const there = (await listedBackups(store)).includes(SAMPLE.backup);
        expect(there).toBe(value.outcome === 'inUse');
        // A reader that came when all was over finds no backup when it looks for its manifest.
        if (reads && !there) expect(await findMark(store, SAMPLE)).toBeUndefined();
        if (reads && there) ends.read += 1;
        if (!there) ends.deleted += 1;
      }
    }
    expect(ends.read).toBeGreaterThan(0);
    expect(ends.deleted).toBeGreaterThan(0);
    process.stdout.write(`    ${pairs} meetings: ${ends.read} read, ${ends.deleted} deleted\n`);
  });
});

describe('the lease of a plan', () => {
  const one: LeaseHolder = { name: 'prune:orders one', sinceMs: 1 };
  const other: LeaseHolder = { name: 'prune:orders other', sinceMs: 2 };
  const take = (store: Store, holder: LeaseHolder, now?: Date) =>
    takeLease(store, 'orders', holder, now === undefined ? {} : { now });

  it('is one holder’s until it is released or silent for too long', async () => {
    const store = await emptyStore();
    await take(store, one);
    await take(store, one);
    await expect(take(store, other)).rejects.toMatchObject({ code: 'PRUNE_RUNNING', transient: true });
    await releaseLease(store, 'orders', other);
    await expect(take(store, other)).rejects.toMatchObject({ code: 'PRUNE_RUNNING' });
    await releaseLease(store, 'orders', one);
    await take(store, other);
    await take(store, one, new Date(Date.now() + LEASE_MS + 1_000));
    await expect(take(store, other)).rejects.toMatchObject({ code: 'PRUNE_RUNNING' });
    // Old ones don't gather.
    await expect(keysUnder(store, retentionFolder('orders'))).resolves.toHaveLength(1);
  });

  it('goes to the later attempt of the same run, and the earlier one finds it gone', async () => {
    const store = await emptyStore();
    await take(store, one);
    const later = { ...one, sinceMs: 5 };
    await take(store, later);
    await expect(take(store, one)).rejects.toMatchObject({ code: 'PRUNE_RUNNING' });
    await take(store, later);
  });

  it('is had by one of two that take it at once, wherever the other stands still', async () => {
    let meetings = 0;
    for (let pauseAt = 1; ; pauseAt++) {
      const store = await emptyStore();
      const asleep = Promise.withResolvers<'asleep'>();
      const awake = Promise.withResolvers<void>();
      const paused = pausingAt(store, pauseAt, () => asleep.resolve('asleep'), awake.promise);
      const late = outcomeOf(take(paused, one));
      if ((await Promise.race([asleep.promise, late])) !== 'asleep') break;
      const early = await outcomeOf(take(store, other));
      awake.resolve();
      await late;
      meetings += 1;
      // Whoever holds it now can renew it, and the other one can't.
      const renewals = [await outcomeOf(take(store, one)), await outcomeOf(take(store, other))];
      expect([pauseAt, renewals.filter((end) => 'value' in end).length]).toEqual([pauseAt, 1]);
      expect('value' in early || 'value' in (renewals[0] ?? {})).toBe(true);
    }
    expect(meetings).toBeGreaterThan(2);
  });

  it('is not had by one that stood still while another took it and renewed it, wherever that was', async () => {
    for (let pauseAt = 1; ; pauseAt++) {
      const store = await emptyStore();
      const asleep = Promise.withResolvers<'asleep'>();
      const awake = Promise.withResolvers<void>();
      const paused = pausingAt(store, pauseAt, () => asleep.resolve('asleep'), awake.promise);
      const late = outcomeOf(take(paused, one));
      if ((await Promise.race([asleep.promise, late])) !== 'asleep') break;
      const takes = [await outcomeOf(take(store, other)), await outcomeOf(take(store, other))];
      awake.resolve();
      const holders = [await late, takes.at(-1) ?? {}].filter((end) => 'value' in end);
      expect([pauseAt, holders.length]).toEqual([pauseAt, 1]);
    }
  });

  it('is refused where this machine’s clock is far off', async () => {
    const store = await emptyStore();
    const yesterday = new Date(Date.now() - 24 * 3_600_000);
    await expect(take(store, one, yesterday)).rejects.toMatchObject({ code: 'CLOCK_OFF', transient: false });
  });
});
