import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as fc from 'fast-check';
import { HoldfastError, permanent } from '../../model/errors.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { listBackups } from '../../repository/backups/list-backups.ts';
import { readManifest } from '../../repository/backups/manifest.ts';
import { readSharedObjects } from '../../repository/backups/shared-objects.ts';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { copyBackup } from '../../repository/copy.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { ForwardingStore } from '../../repository/forwarding-store.ts';
import { backupFolder, INDEX_FOLDER, manifestKey, OBJECTS_FOLDER } from '../../repository/layout.ts';
import { condemn, decide, readCondemnations } from '../../repository/objects/condemned.ts';
import { sweepObjects } from '../../repository/objects/sweep-objects.ts';
import { holdBackup } from '../../repository/retention/holds.ts';
import { removeOrphans } from '../../repository/retention/sweep.ts';
import type { Store } from '../../repository/store.ts';
import { crashingAt, pausingAt } from './failing-store.ts';
import { deleteBackup, sampleTablets, writeTabletBackup } from './sample-tablets.ts';

const PLAN = 'orders';
const FIRST = { plan: PLAN, backup: '20261123T020000Z-first' };
const SECOND = { plan: PLAN, backup: '20261124T020000Z-second' };
const OTHER = { plan: 'billing', backup: '20261124T030000Z-other' };
/** In the future: everything is older. */
const NO_GRACE_MS = -60_000;
const GRACE_MS = 60 * 60_000;

let scratch: ScratchFolder;
let runs = 0;
beforeAll(async () => {
  scratch = await createScratchFolder('shared-objects');
});
afterAll(() => scratch.remove());

async function emptyStore(): Promise<DirectoryStore> {
  const root = path.join(scratch.path, String(++runs));
  await mkdir(root);
  return new DirectoryStore(root);
}

/** As credentials see it that may not delete. */
class Undeletable extends ForwardingStore {
  override async delete(): Promise<void> {
    throw permanent('STORE_DENIED', 'delete 1 objects: access is denied.', 'None: this is a test.');
  }
}

async function keysIn(store: Store, folder: string): Promise<string[]> {
  return (await Array.fromAsync(store.list(folder), ({ key }) => key)).sort();
}

describe('shared objects', () => {
  it('are stored once, whichever tablets, backups and plans need them', async () => {
    const store = await emptyStore();
    await writeTabletBackup(store, FIRST, sampleTablets(3, 'one'));
    const objects = await keysIn(store, OBJECTS_FOLDER);
    const indexes = await keysIn(store, INDEX_FOLDER);
    for (const ref of [SECOND, OTHER]) await writeTabletBackup(store, ref, sampleTablets(3, 'one'));
    await expect(keysIn(store, OBJECTS_FOLDER)).resolves.toEqual(objects);
    await expect(keysIn(store, INDEX_FOLDER)).resolves.toEqual(indexes);
    for (const ref of [FIRST, SECOND, OTHER]) {
      await expect(verifyBackup(store, ref, 'content')).resolves.toMatchObject({ verdict: 'OK' });
    }
  });

  it('are covered by every level of verification, which names the damaged one', async () => {
    const store = await emptyStore();
    await writeTabletBackup(store, FIRST, sampleTablets(2, 'one'));
    const [missing, bent] = await keysIn(store, OBJECTS_FOLDER);
    if (missing === undefined || bent === undefined) throw new Error('the sample has too few objects');
    const file = path.join(store.description, bent);
    const bytes = await readFile(file);
    bytes[3] = (bytes[3] ?? 0) ^ 1;
    await writeFile(file, bytes);
    await store.delete([missing]);
    for (const level of ['exists', 'checksums', 'content'] as const) {
      const { verdict, problems } = await verifyBackup(store, FIRST, level);
      expect({ level, verdict, problems: problems.join() }).toEqual({
        level,
        verdict: 'FAILED',
        problems: expect.stringContaining(missing),
      });
      // A listing does not read bytes.
      expect(problems.join().includes(bent)).toBe(level !== 'exists');
    }
  });

  it('that somebody deleted fail one backup, and are sent again by the next', async () => {
    const store = await emptyStore();
    await writeTabletBackup(store, FIRST, sampleTablets(3, 'one'));
    const [missing = ''] = await keysIn(store, OBJECTS_FOLDER);
    await store.delete([missing]);
    await expect(writeTabletBackup(store, SECOND, sampleTablets(3, 'one'))).rejects.toMatchObject({
      code: 'BACKUP_INCOMPLETE',
      message: expect.stringContaining(missing),
    });
    await writeTabletBackup(store, OTHER, sampleTablets(3, 'one'));
    for (const ref of [FIRST, OTHER]) {
      await expect(verifyBackup(store, ref, 'content')).resolves.toMatchObject({ verdict: 'OK' });
    }
  });

  it('that somebody deleted are sent again once the index objects that name them, which the error tells, are deleted', async () => {
    const store = await emptyStore();
    await writeTabletBackup(store, FIRST, sampleTablets(3, 'one'));
    const [missing = ''] = await keysIn(store, OBJECTS_FOLDER);
    await store.delete([missing]);
    const failed = await writeTabletBackup(new Undeletable(store), SECOND, sampleTablets(3, 'one')).catch(
      (error: unknown) => error,
    );
    if (!(failed instanceof HoldfastError)) throw new Error('nothing was missed');
    const told = failed.remedy?.match(/index\/[^ ,]+/g) ?? [];
    expect(told).not.toEqual([]);
    await store.delete(told);
    await writeTabletBackup(store, OTHER, sampleTablets(3, 'one'));
    await expect(verifyBackup(store, FIRST, 'content')).resolves.toMatchObject({ verdict: 'OK' });
  });

  it('cost a backup nothing by damage in bytes that only another backup needs, which is told', async () => {
    const store = await emptyStore();
    const later = 'ends with bytes of its own';
    await writeTabletBackup(store, FIRST, { tablet: { a: 'shared by both', b: later } });
    await writeTabletBackup(store, SECOND, { tablet: { a: 'shared by both' } });
    const [pack = '', ...others] = await keysIn(store, OBJECTS_FOLDER);
    expect(others).toEqual([]);
    const file = path.join(store.description, pack);
    const sound = await readFile(file);
    const verdicts = async () => {
      const reports = [];
      for (const ref of [FIRST, SECOND]) reports.push(await verifyBackup(store, ref, 'content'));
      return reports.map(({ verdict, notes = [] }) => ({ verdict, notes }));
    };
    for (const at of [sound.indexOf(later), sound.length - 1]) {
      const bent = Buffer.from(sound);
      bent.writeUInt8(bent.readUInt8(at) ^ 1, at);
      await writeFile(file, bent);
      await expect(verdicts()).resolves.toEqual([
        { verdict: 'FAILED', notes: [] },
        { verdict: 'OK', notes: [expect.stringContaining(pack)] },
      ]);
    }
    for (const bent of [Buffer.concat([sound, Buffer.from('x')]), sound.subarray(0, -1)]) {
      await writeFile(file, bent);
      await expect(verdicts()).resolves.toMatchObject([{ verdict: 'FAILED' }, { verdict: 'FAILED' }]);
    }
  });

  it('go into a copy of the repository with their index, so that backups made there share them', async () => {
    const [from, to] = [await emptyStore(), await emptyStore()];
    await writeTabletBackup(from, FIRST, sampleTablets(3, 'one'));
    await copyBackup(from, to, FIRST);
    await expect(verifyBackup(to, FIRST, 'content')).resolves.toMatchObject({ verdict: 'OK' });
    const objects = await keysIn(to, OBJECTS_FOLDER);
    await writeTabletBackup(to, SECOND, sampleTablets(3, 'one'));
    await expect(keysIn(to, OBJECTS_FOLDER)).resolves.toEqual(objects);
  });

  it('are no copy while the target deletes what lies there under their names, which a copy can’t change', async () => {
    const [from, to] = [await emptyStore(), await emptyStore()];
    await writeTabletBackup(from, FIRST, sampleTablets(3, 'one'));
    const objects = await keysIn(from, OBJECTS_FOLDER);
    await writeTabletBackup(to, OTHER, sampleTablets(3, 'one'));
    await deleteBackup(to, OTHER);
    await sweepObjects(to, { graceMs: NO_GRACE_MS });
    await sweepObjects(to, { graceMs: NO_GRACE_MS });
    await expect(copyBackup(from, to, FIRST)).rejects.toMatchObject({
      code: 'COPY_SWEPT',
      transient: false,
      message: expect.stringContaining(objects[0] ?? ''),
      remedy: expect.stringMatching(/two days.*prune/),
    });
    // What the remedy says: the clean-up is over, and a later one forgets it.
    await sweepObjects(to, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
    await copyBackup(from, to, FIRST);
    await expect(verifyBackup(to, FIRST, 'content')).resolves.toMatchObject({ verdict: 'OK' });
  });

  it('go two sweeps after the last backup that names them, and never before', async () => {
    const store = await emptyStore();
    await writeTabletBackup(store, FIRST, sampleTablets(2, 'one'));
    const ofFirst = await keysIn(store, OBJECTS_FOLDER);
    await writeTabletBackup(store, SECOND, sampleTablets(2, 'two'));
    const both = await keysIn(store, OBJECTS_FOLDER);
    await deleteBackup(store, SECOND);
    await sweepObjects(store, { graceMs: GRACE_MS });
    await expect(readCondemnations(store)).resolves.toEqual([]);
    await expect(
      sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS, dryRun: true }),
    ).resolves.toMatchObject({
      condemnedObjects: both.length - ofFirst.length,
    });
    await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
    await expect(keysIn(store, OBJECTS_FOLDER)).resolves.toEqual(both);
    await expect(
      sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS }),
    ).resolves.toMatchObject({
      deletedObjects: both.length - ofFirst.length,
    });
    await expect(keysIn(store, OBJECTS_FOLDER)).resolves.toEqual(ofFirst);
    await expect(verifyBackup(store, FIRST, 'content')).resolves.toMatchObject({ verdict: 'OK' });
    // In the end nothing tells of what is gone.
    await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
    await expect(keysIn(store, 'condemned/')).resolves.toEqual([]);
  });

  it('are not deleted while a manifest or a list can not be read, for what it names is not known', async () => {
    const store = await emptyStore();
    await writeTabletBackup(store, FIRST, sampleTablets(2, 'one'));
    await writeTabletBackup(store, SECOND, sampleTablets(2, 'two'));
    await deleteBackup(store, SECOND);
    await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
    const [list] = await keysIn(store, `${backupFolder(FIRST)}lists/`);
    await writeFile(path.join(store.description, list ?? ''), 'damaged');
    const before = await keysIn(store, OBJECTS_FOLDER);
    await expect(
      sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS }),
    ).rejects.toMatchObject({
      code: 'STORE_DAMAGED',
    });
    await expect(keysIn(store, OBJECTS_FOLDER)).resolves.toEqual(before);
  });

  it('are not deleted while the manifest of a held backup is gone, for what it named is not known', async () => {
    const store = await emptyStore();
    await writeTabletBackup(store, FIRST, sampleTablets(2, 'one'));
    await holdBackup(store, FIRST, { reason: 'case 4711', by: 'alice@office' });
    await store.delete([manifestKey(FIRST)]);
    const before = await keysIn(store, OBJECTS_FOLDER);
    for (let sweep = 0; sweep < 3; sweep++) {
      await expect(
        sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS }),
      ).rejects.toMatchObject({
        code: 'STORE_DAMAGED',
        message: expect.stringContaining('case 4711'),
      });
    }
    await expect(keysIn(store, OBJECTS_FOLDER)).resolves.toEqual(before);
  });

  it('that are condemned are spared by a backup that needs them, and sent again under another name once they are being deleted', async () => {
    const store = await emptyStore();
    await writeTabletBackup(store, FIRST, sampleTablets(2, 'one'));
    const objects = await keysIn(store, OBJECTS_FOLDER);
    await deleteBackup(store, FIRST);
    await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
    await writeTabletBackup(store, SECOND, sampleTablets(2, 'one'));
    await expect(readCondemnations(store)).resolves.toMatchObject([{ verdict: 'spared' }]);
    await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
    await expect(keysIn(store, OBJECTS_FOLDER)).resolves.toEqual(objects);

    await deleteBackup(store, SECOND);
    await condemn(store, 'sweep-that-stopped', objects);
    await decide(store, 'sweep-that-stopped', 'executed');
    await writeTabletBackup(store, OTHER, sampleTablets(2, 'one'));
    const named = await Array.fromAsync(
      readSharedObjects(store, await readManifest(store, OTHER)),
      ({ key }) => key,
    );
    expect(named.filter((key) => objects.includes(key))).toEqual([]);
    for (let sweep = 0; sweep < 3; sweep++)
      await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
    await expect(verifyBackup(store, OTHER, 'content')).resolves.toMatchObject({ verdict: 'OK' });
    await expect(keysIn(store, OBJECTS_FOLDER)).resolves.toEqual(named.sort());
  });
});

describe('whatever becomes of writers and sweeps', () => {
  const RUNS = { seed: 20261124, numRuns: 40 };

  it('no backup loses a shared object, and what nobody needs goes in the end', async () => {
    let cases = 0;
    const step = fc.record({
      who: fc.constantFrom(
        'first' as const,
        'second' as const,
        'other' as const,
        'sweep' as const,
        'delete' as const,
      ),
      crashAt: fc.integer({ min: 1, max: 90 }),
      kind: fc.constantFrom('before' as const, 'performed' as const),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 8 }), async (steps) => {
        cases++;
        const store = await emptyStore();
        await writeTabletBackup(store, { ...OTHER, backup: 'always' }, sampleTablets(1, 'one'));
        for (const { who, crashAt, kind } of steps) {
          await outcomeOf(act(who, crashingAt(store, crashAt, kind)));
          await expectAllSound(store);
        }
        await expectNothingLeftOver(store);
      }),
      RUNS,
    );
    console.log(`shared objects: ${cases} sequences of crashing writers and sweeps tried`);
  });

  it('a writer that stands still while a sweep condemns, wherever that is, relies on nothing that goes', async () => {
    for (let pauseAt = 1, asleep = true; asleep; pauseAt++) {
      const store = await emptyStore();
      await writeTabletBackup(store, FIRST, sampleTablets(2, 'one'));
      await deleteBackup(store, FIRST);
      asleep = await besides(store, pauseAt, () =>
        sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS }),
      );
      await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
      await expect(verifyBackup(store, SECOND, 'content')).resolves.toMatchObject({ verdict: 'OK' });
    }
  });

  it('a sweep that stands still while a backup is written, wherever that is, deletes nothing that it needs', async () => {
    for (let pauseAt = 1; ; pauseAt++) {
      const store = await emptyStore();
      await writeTabletBackup(store, FIRST, sampleTablets(2, 'one'));
      await deleteBackup(store, FIRST);
      await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
      const asleep = Promise.withResolvers<'asleep'>();
      const awake = Promise.withResolvers<void>();
      const paused = pausingAt(store, pauseAt, () => asleep.resolve('asleep'), awake.promise);
      const sweep = outcomeOf(sweepObjects(paused, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS }));
      if ((await Promise.race([asleep.promise, sweep])) !== 'asleep') return;
      await retried(() => writeTabletBackup(store, SECOND, sampleTablets(2, 'one')));
      awake.resolve();
      await sweep;
      await expect(verifyBackup(store, SECOND, 'content')).resolves.toMatchObject({ verdict: 'OK' });
    }
  });

  /** False where the writer came through without so many operations. */
  async function besides(store: Store, pauseAt: number, meanwhile: () => Promise<unknown>): Promise<boolean> {
    const asleep = Promise.withResolvers<'asleep'>();
    const awake = Promise.withResolvers<void>();
    const paused = pausingAt(store, pauseAt, () => asleep.resolve('asleep'), awake.promise);
    const writing = retried(() => writeTabletBackup(paused, SECOND, sampleTablets(2, 'one')));
    const slept = (await Promise.race([asleep.promise, writing])) === 'asleep';
    await meanwhile();
    awake.resolve();
    await writing;
    return slept;
  }
});

function act(who: 'first' | 'second' | 'other' | 'sweep' | 'delete', store: Store): Promise<unknown> {
  switch (who) {
    case 'first':
      return writeTabletBackup(store, FIRST, sampleTablets(2, 'one'));
    case 'second':
      return writeTabletBackup(store, SECOND, sampleTablets(2, 'two'));
    case 'other':
      return writeTabletBackup(store, OTHER, sampleTablets(1, 'one'));
    case 'sweep':
      return sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
    case 'delete':
      return deleteBackup(store, FIRST);
  }
}

async function expectAllSound(store: Store): Promise<void> {
  for (const plan of [PLAN, OTHER.plan]) {
    for (const { backup } of (await listBackups(store, plan)).backups) {
      const report = await verifyBackup(store, { plan, backup }, 'content');
      expect(report).toMatchObject({ verdict: 'OK', problems: [] });
    }
  }
}

async function expectNothingLeftOver(store: Store): Promise<void> {
  for (const plan of [PLAN, OTHER.plan]) {
    for (let sweep = 0; sweep < 2; sweep++) await removeOrphans(store, plan, NO_GRACE_MS);
  }
  for (let sweep = 0; sweep < 3; sweep++)
    await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
  const named = new Set<string>();
  for (const plan of [PLAN, OTHER.plan]) {
    for (const manifest of (await listBackups(store, plan)).backups) {
      for await (const { key } of readSharedObjects(store, manifest)) named.add(key);
    }
  }
  await expectAllSound(store);
  await expect(keysIn(store, OBJECTS_FOLDER)).resolves.toEqual([...named].sort());
  await expect(keysIn(store, 'condemned/')).resolves.toEqual([]);
}

/** As Temporal does it: what may pass is tried again. */
async function retried<T>(attempt: () => Promise<T>): Promise<T> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof HoldfastError) || !error.transient || attempts === 5) throw error;
    }
  }
}

async function outcomeOf(work: Promise<unknown>): Promise<'done' | 'crashed'> {
  try {
    await work;
    return 'done';
  } catch (error) {
    if (error instanceof HoldfastError) return 'crashed';
    throw error;
  }
}
