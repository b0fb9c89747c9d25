import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { RepositorySpec } from '../../model/source.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { decideRetention } from '../../planning/retention.ts';
import { readManifest } from '../../repository/backups/manifest.ts';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { readCatalogue } from '../../repository/catalogue.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { holdKey, ledgerKey, manifestKey } from '../../repository/layout.ts';
import { deleteBackup, forgetIfGone } from '../../repository/retention/delete-backup.ts';
import { holdBackup, isInForce, readHolds, releaseBackup } from '../../repository/retention/holds.ts';
import { putMark } from '../../repository/retention/marks.ts';
import { discardBackup, removeOrphans, tombstone } from '../../repository/retention/sweep.ts';
import { sealJson } from '../../repository/sealed-json.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import type { Store } from '../../repository/store.ts';
import { SAMPLE, writeSampleBackup } from './sample-backup.ts';
import { newSigner, signedStore } from './signing/signers.ts';

const NEWER = { plan: SAMPLE.plan, backup: '20261124T020000Z-newer' };
const WHO = { reason: 'case 4711', by: 'alice@office' };
const MARK = { ...SAMPLE, markedAt: new Date(0).toISOString(), deleteAfter: new Date(0).toISOString() };
const SPEC: RepositorySpec = { name: 'main', location: { kind: 'directory', path: '/nowhere' } };
const NOW = new Date('2026-11-30T00:00:00.000Z');

let scratch: ScratchFolder;
let folders = 0;
beforeAll(async () => {
  scratch = await createScratchFolder('holds');
});
afterAll(() => scratch.remove());

async function newRaw(): Promise<DirectoryStore> {
  const folder = path.join(scratch.path, String(++folders));
  await mkdir(folder);
  return new DirectoryStore(folder);
}

const deleteIt = (store: Store) =>
  deleteBackup(store, MARK, { reason: 'a test', isLive: async () => false, graceMs: 0 });

/** The rules that keep the older of two backups, where the policy keeps one. */
async function rules(store: Store): Promise<readonly string[]> {
  const { entries } = await readCatalogue(store, SPEC, SAMPLE.plan);
  const verdicts = decideRetention(entries, { keepLast: 1 }, { now: NOW });
  return verdicts.find(({ backup }) => backup === SAMPLE.backup)?.rules ?? [];
}

test('a held backup is kept by retention and by a deletion, until it is released; the record stays and tells who did what', async () => {
  const store = await newRaw();
  await writeSampleBackup(store);
  await writeSampleBackup(store, undefined, NEWER, '2026-11-24T02:00:01.000Z');
  expect(await rules(store)).toEqual([]);
  await holdBackup(store, SAMPLE, WHO);
  await holdBackup(store, SAMPLE, { ...WHO, reason: 'case 4712' });
  expect(await rules(store)).toEqual(['hold']);
  const { entries } = await readCatalogue(store, SPEC, SAMPLE.plan);
  expect(entries.find(({ backup }) => backup === SAMPLE.backup)?.held).toContain('alice@office');
  expect(await deleteIt(store)).toMatchObject({
    outcome: 'inUse',
    reader: expect.stringContaining('case 471'),
  });
  await readManifest(store, SAMPLE);

  expect(await releaseBackup(store, SAMPLE, { reason: 'closed', by: 'bob@office' })).toBe(2);
  expect(await rules(store)).toEqual([]);
  expect(await readHolds(store, SAMPLE)).toMatchObject([
    { by: 'alice@office', released: { by: 'bob@office', reason: 'closed' } },
    { by: 'alice@office', released: { by: 'bob@office', reason: 'closed' } },
  ]);
  expect(await deleteIt(store)).toMatchObject({ outcome: 'deleted' });
  expect(await readHolds(store, { plan: SAMPLE.plan })).toHaveLength(2);
});

test('whoever holds a backup that is being deleted is told so, and leaves no hold behind', async () => {
  const store = await newRaw();
  await writeSampleBackup(store);
  await putMark(store, { ...MARK, deleting: true });
  await expect(holdBackup(store, SAMPLE, WHO)).rejects.toMatchObject({ code: 'BACKUP_BEING_DELETED' });
  expect((await readHolds(store, SAMPLE)).filter(isInForce)).toEqual([]);
});

test('what is no backup can’t be held: one that was deleted meanwhile, was given up, or never finished', async () => {
  const raw = await newRaw();
  await writeSampleBackup(raw);
  // The deletion comes to its end, its mark gone with it, between the hold's record and the look at the mark.
  const store = new Proxy(raw, {
    get(target, name) {
      if (name !== 'put') return bound(target, name);
      return async (...args: Parameters<Store['put']>) => {
        if (args[0].startsWith('holds/')) await deleteIt(raw);
        return target.put(...args);
      };
    },
  });
  await expect(holdBackup(store, SAMPLE, WHO)).rejects.toMatchObject({ code: 'BACKUP_BEING_DELETED' });
  await expect(holdBackup(raw, SAMPLE, WHO)).rejects.toMatchObject({ code: 'BACKUP_NOT_FOUND' });
  await discardBackup(raw, NEWER, 'a test');
  await expect(holdBackup(raw, NEWER, WHO)).rejects.toMatchObject({ code: 'BACKUP_DISCARDED' });
  const holds = await readHolds(raw, { plan: SAMPLE.plan });
  expect(holds.filter(isInForce)).toEqual([]);
});

test('of a held backup whose manifest somebody took away, or put a tombstone over, nothing is cleared away until it is released', async () => {
  const raw = await newRaw();
  for (const lose of [
    async () => raw.delete([manifestKey(SAMPLE)]),
    async () => {
      const body = sealJson(tombstone(SAMPLE, 'forged', true));
      await raw.put(manifestKey(SAMPLE), body, { sha256: sha256Hex(body), ifAbsent: false });
    },
  ]) {
    await writeSampleBackup(raw);
    await holdBackup(raw, SAMPLE, WHO);
    const manifest = await raw.get(manifestKey(SAMPLE));
    const verified = ledgerKey(SAMPLE, NOW.toISOString());
    await raw.put(verified, manifest, { sha256: sha256Hex(manifest), ifAbsent: true });
    await lose();
    const before = await keysOf(raw);
    // Everything is older than an hour to come.
    expect(await removeOrphans(raw, SAMPLE.plan, -3_600_000)).toMatchObject({
      deletedObjects: 0,
      orphans: [],
    });
    expect(await discardBackup(raw, SAMPLE, 'a test')).toMatchObject({ deletedObjects: 0 });
    await forgetIfGone(raw, MARK);
    expect(await keysOf(raw)).toEqual(expect.arrayContaining([...before]));
    await raw.put(manifestKey(SAMPLE), manifest, { sha256: sha256Hex(manifest), ifAbsent: false });
    expect(await verifyBackup(raw, SAMPLE, 'content')).toMatchObject({ verdict: 'OK' });
    await lose();
    await releaseBackup(raw, SAMPLE, { reason: 'closed', by: 'bob@office' });
    await removeOrphans(raw, SAMPLE.plan, -3_600_000);
    await removeOrphans(raw, SAMPLE.plan, -3_600_000);
    expect(await Array.fromAsync(raw.list('backups/'))).toEqual([]);
    expect(await keysOf(raw)).toContain(verified);
    await forgetIfGone(raw, MARK);
    expect(await keysOf(raw)).not.toContain(verified);
  }
});

test('an object among the holds whose name is none of a hold’s holds nothing: no release would reach it', async () => {
  const store = await newRaw();
  await writeSampleBackup(store);
  const body = Buffer.from('x');
  for (const name of ['stray', 'deep/er.json']) {
    const key = `holds/${SAMPLE.plan}/${SAMPLE.backup}/${name}`;
    await store.put(key, body, { sha256: sha256Hex(body), ifAbsent: true });
  }
  expect(await deleteIt(store)).toMatchObject({ outcome: 'deleted' });
});

const keysOf = (store: Store) => Array.fromAsync(store.list(''), ({ key }) => key);

function bound(target: DirectoryStore, name: string | symbol): unknown {
  const member: unknown = Reflect.get(target, name, target);
  return typeof member === 'function' ? member.bind(target) : member;
}

test('a hold that can’t be read holds; in a signed repository so does one whose release nobody trusted signed', async () => {
  const raw = await newRaw();
  const worker = newSigner();
  const store = signedStore(raw, worker, [worker]);
  await writeSampleBackup(store);
  const hold = await holdBackup(store, SAMPLE, WHO);
  const forged = sealJson({
    ...hold,
    released: { at: NOW.toISOString(), by: 'alice@office', reason: 'closed' },
  });
  await raw.put(holdKey(SAMPLE, hold.id), forged, { sha256: sha256Hex(forged), ifAbsent: false });
  expect(await deleteIt(store)).toMatchObject({
    outcome: 'inUse',
    reader: expect.stringContaining('unsigned'),
  });
  await releaseBackup(store, SAMPLE, { reason: 'looked into', by: 'alice@office' });
  expect(await deleteIt(store)).toMatchObject({ outcome: 'deleted' });
});
