import { readFile, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { listBackups } from '../../repository/backups/list-backups.ts';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { backupFolder, manifestKey } from '../../repository/layout.ts';
import { discardBackup, findOrphans, removeOrphans, sweepBackup } from '../../repository/retention/sweep.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import { folderForEachTest } from '../support/scratch.ts';
import { SAMPLE, writeSampleBackup } from './sample-backup.ts';

const GRACE_MS = 60 * 60 * 1000;
const body = Buffer.from('body');

describe('a clean-up', () => {
  const emptyFolder = folderForEachTest('sweep');
  let root: string;
  let store: DirectoryStore;
  beforeEach(() => {
    root = emptyFolder();
    store = new DirectoryStore(root);
  });

  const put = (key: string) => store.put(key, body, { sha256: sha256Hex(body), ifAbsent: true });
  const keys = async (prefix = '') => (await Array.fromAsync(store.list(prefix), ({ key }) => key)).sort();
  const orphans = () => Array.fromAsync(findOrphans(store, SAMPLE.plan, GRACE_MS));
  const makeOld = async (...old: readonly string[]) => {
    const time = new Date(Date.now() - 2 * GRACE_MS);
    for (const key of old) await utimes(path.join(root, key), time, time);
  };
  const unfinished = { plan: SAMPLE.plan, backup: 'unfinished' };
  const inUnfinished = (name: string) => backupFolder(unfinished) + name;

  it('removes from the folder of a backup what its manifest does not name, and nothing else anywhere', async () => {
    await writeSampleBackup(store);
    const before = await keys();
    const strays = ['data/e2/late', 'work/e1/results/0000001.json', 'stray'].map(
      (name) => backupFolder(SAMPLE) + name,
    );
    const neighbour = { ...SAMPLE, backup: `${SAMPLE.backup}0` };
    const others = [`${backupFolder(neighbour)}data/e1/x`, 'verified/orders/x.json', 'elsewhere'];
    for (const key of [...strays, ...others]) await put(key);
    await expect(sweepBackup(store, SAMPLE)).resolves.toEqual({
      deletedObjects: 3,
      deletedBytes: 3 * body.length,
    });
    await expect(keys()).resolves.toEqual([...before, ...others].sort());
    await expect(verifyBackup(store, SAMPLE, 'content')).resolves.toMatchObject({ verdict: 'OK' });
  });

  it('deletes nothing where the manifest is damaged, for what it names is not known', async () => {
    await writeSampleBackup(store);
    const file = path.join(root, manifestKey(SAMPLE));
    await writeFile(file, (await readFile(file, 'utf8')).replace('"epoch": 1', '"epoch": 3'));
    await put(`${backupFolder(SAMPLE)}stray`);
    const before = await keys();
    await expect(sweepBackup(store, SAMPLE)).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
    await expect(discardBackup(store, SAMPLE, 'by mistake')).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
    await expect(orphans()).resolves.toEqual([]);
    await removeOrphans(store, SAMPLE.plan, -GRACE_MS);
    await expect(keys()).resolves.toEqual(before);
  });

  it('deletes nothing where a list of the manifest is damaged', async () => {
    await writeSampleBackup(store);
    const [list] = await keys(`${backupFolder(SAMPLE)}lists/`);
    if (list === undefined) throw new Error('the sample has no list');
    await writeFile(path.join(root, list), 'damaged');
    await put(`${backupFolder(SAMPLE)}stray`);
    const before = await keys();
    await expect(sweepBackup(store, SAMPLE)).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
    await expect(keys()).resolves.toEqual(before);
  });

  it('leaves alone a backup without a manifest as long as one of its objects is young', async () => {
    await put(inUnfinished('data/e1/old'));
    await put(inUnfinished('data/e1/young'));
    await makeOld(inUnfinished('data/e1/old'));
    await expect(orphans()).resolves.toEqual([]);
    await expect(sweepBackup(store, unfinished, { graceMs: GRACE_MS })).resolves.toMatchObject({
      deletedObjects: 0,
    });
    await expect(keys()).resolves.toHaveLength(2);
  });

  it('gives up a backup without a manifest whose newest object is old, and in the end its tombstone too', async () => {
    const objects = ['data/e1/1', 'data/e1/2'].map(inUnfinished);
    for (const key of objects) await put(key);
    await makeOld(...objects);
    await expect(orphans()).resolves.toEqual([{ ...unfinished, kind: 'unfinished', objects: 2, bytes: 8 }]);
    await expect(removeOrphans(store, SAMPLE.plan, GRACE_MS)).resolves.toMatchObject({ deletedObjects: 2 });
    await expect(keys()).resolves.toEqual([manifestKey(unfinished)]);
    await expect(listBackups(store, SAMPLE.plan)).resolves.toMatchObject({
      backups: [],
      unusable: [{ backup: 'unfinished', state: 'discarded' }],
    });
    // A late writer's object goes, the tombstone stays for the grace time.
    await put(inUnfinished('data/e1/late'));
    await removeOrphans(store, SAMPLE.plan, GRACE_MS);
    await expect(keys()).resolves.toEqual([manifestKey(unfinished)]);
    await makeOld(manifestKey(unfinished));
    await removeOrphans(store, SAMPLE.plan, GRACE_MS);
    await expect(keys()).resolves.toEqual([]);
  });

  it('gives up at once a backup whose run is known to have ended, and no other writer can finish it', async () => {
    await put(inUnfinished('data/e1/x'));
    await expect(discardBackup(store, unfinished, 'it was cancelled')).resolves.toMatchObject({
      deletedObjects: 1,
    });
    await expect(writeSampleBackup(store, undefined, unfinished)).rejects.toMatchObject({
      code: 'BACKUP_DISCARDED',
      message: expect.stringContaining('it was cancelled'),
    });
    // Again, as a retry would: the same end.
    await discardBackup(store, unfinished, 'it was cancelled');
    await expect(keys(backupFolder(unfinished))).resolves.toEqual([manifestKey(unfinished)]);
  });

  it('does not give up a backup that has its manifest', async () => {
    await writeSampleBackup(store);
    const before = await keys();
    await discardBackup(store, SAMPLE, 'it was cancelled too late');
    await expect(keys()).resolves.toEqual(before);
  });

  it('discards what interrupted puts have left in the store', async () => {
    await put('object');
    const temporary = path.join(root, '.holdfast-tmp', 'interrupted');
    await writeFile(temporary, 'half');
    const old = new Date(Date.now() - 2 * GRACE_MS);
    await utimes(temporary, old, old);
    await expect(removeOrphans(store, SAMPLE.plan, GRACE_MS)).resolves.toMatchObject({ discardedUploads: 1 });
  });
});
