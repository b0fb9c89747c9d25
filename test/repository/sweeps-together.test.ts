import { mkdir, utimes } from 'node:fs/promises';
import path from 'node:path';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { ForwardingStore } from '../../repository/forwarding-store.ts';
import { CONDEMNED_FOLDER, OBJECTS_FOLDER } from '../../repository/layout.ts';
import { condemn, decide, readCondemnations, spare } from '../../repository/objects/condemned.ts';
import { sweepObjects } from '../../repository/objects/sweep-objects.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import type { GetOptions, Store } from '../../repository/store.ts';
import { folderForEachTest } from '../support/scratch.ts';
import { pausingAt } from './failing-store.ts';
import { deleteBackup, sampleTablets, writeTabletBackup } from './sample-tablets.ts';

const FIRST = { plan: 'orders', backup: '20261123T020000Z-first' };
const SECOND = { plan: 'orders', backup: '20261124T020000Z-second' };
const GRACE_MS = 60 * 60_000;
const GRACE = { graceMs: GRACE_MS, decisionMs: GRACE_MS };
const TABLETS = sampleTablets(2, 'one');

const emptyFolder = folderForEachTest('sweeps-together');
let stores = 0;

/** A repository whose only objects nobody needs: a sweep condemned and deleted them, and died before it forgot them. */
async function sweptStore(): Promise<DirectoryStore> {
  const root = path.join(emptyFolder(), String(++stores));
  await mkdir(root);
  const store = new DirectoryStore(root);
  await writeTabletBackup(store, FIRST, TABLETS);
  await deleteBackup(store, FIRST);
  const objects = await Array.fromAsync(store.list(OBJECTS_FOLDER), ({ key }) => key);
  await condemn(store, 'of-the-day-before', objects);
  await decide(store, 'of-the-day-before', 'executed');
  await sweepObjects(store, GRACE);
  await expect(Array.fromAsync(store.list(OBJECTS_FOLDER))).resolves.toEqual([]);
  return store;
}

/** As if the condemnations had been made and decided so long ago. */
async function decidedAgo(store: DirectoryStore, graces: number): Promise<void> {
  const time = new Date(Date.now() - graces * GRACE_MS);
  for await (const { key } of store.list(CONDEMNED_FOLDER)) {
    await utimes(path.join(store.description, key), time, time);
  }
}

describe('two sweeps of one repository, as two plans make them', () => {
  // The first one stands still for less than a grace time: from the first to the second of these ages of the decision.
  it.each([
    [0.8, 1.7, 1],
    [1.2, 2.1, 1],
    [1.9, 2.1, 3],
    [0.8, 1.7, 0.1],
  ])(
    'delete nothing that was stored again meanwhile (decided %d to %d hours ago, the slower one’s grace time %d)',
    async (from, to, graces) => {
      for (let pauseAt = 1; ; pauseAt++) {
        const store = await sweptStore();
        await decidedAgo(store, from);
        const asleep = Promise.withResolvers<'asleep'>();
        const awake = Promise.withResolvers<void>();
        const paused: Store = pausingAt(store, pauseAt, () => asleep.resolve('asleep'), awake.promise);
        const slow = sweepObjects(paused, { ...GRACE, graceMs: graces * GRACE_MS });
        const slept = (await Promise.race([asleep.promise, slow])) === 'asleep';
        await decidedAgo(store, to);
        await sweepObjects(store, GRACE);
        await writeTabletBackup(store, SECOND, TABLETS);
        awake.resolve();
        await slow;
        await expect(verifyBackup(store, SECOND, 'content')).resolves.toMatchObject({ verdict: 'OK' });
        if (!slept) return;
      }
    },
  );

  it('forget a decision in the end, and what a sweep that died left', async () => {
    const store = await sweptStore();
    const put = Buffer.from('left by a sweep that died');
    const left = `${OBJECTS_FOLDER}ab/left`;
    await store.put(left, put, { sha256: sha256Hex(put), ifAbsent: true });
    await condemn(store, 'died', [left]);
    await decide(store, 'died', 'executed');
    await decidedAgo(store, 2.1);
    const old = new Date(Date.now() - 3 * GRACE_MS);
    await utimes(path.join(store.description, left), old, old);
    // Condemned anew, executed, forgotten.
    for (const expected of [1, 0]) {
      await sweepObjects(store, GRACE);
      await decidedAgo(store, 2.1);
      await expect(Array.fromAsync(store.list(OBJECTS_FOLDER))).resolves.toHaveLength(expected);
    }
    await sweepObjects(store, GRACE);
    await expect(readCondemnations(store)).resolves.toEqual([]);
  });
});

/** A store that counts what is read of condemnations. */
class Counting extends ForwardingStore {
  reads = 0;

  override async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    if (key.startsWith(CONDEMNED_FOLDER)) this.reads += 1;
    return this.store.get(key, options);
  }
}

test('condemnations are read once by a worker, not by each of its tasks; what changes of them is seen', async () => {
  const store = new Counting(new DirectoryStore(emptyFolder()));
  const states = async () =>
    (await readCondemnations(store)).map(({ id, verdict, objects }) => [id, verdict, objects]);
  await condemn(store, 'one', ['objects/ab/a']);
  await condemn(store, 'two', ['objects/ab/b']);
  for (let task = 0; task < 3; task++) await readCondemnations(store);
  expect(store.reads).toBe(2);
  await decide(store, 'one', 'executed');
  store.reads = 0;
  for (let task = 0; task < 3; task++) {
    await expect(states()).resolves.toEqual([
      ['one', 'executed', ['objects/ab/a']],
      ['two', 'pending', ['objects/ab/b']],
    ]);
  }
  expect(store.reads).toBe(1);
  await expect(spare(store, new Set(['objects/ab/a', 'objects/ab/b']))).resolves.toEqual(
    new Set(['objects/ab/a']),
  );
  await store.delete([`${CONDEMNED_FOLDER}one.json`, `${CONDEMNED_FOLDER}one.verdict`]);
  await expect(states()).resolves.toEqual([['two', 'spared', ['objects/ab/b']]]);
});
