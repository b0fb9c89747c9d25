import { cp, mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { listBackups } from '../../../repository/backups/list-backups.ts';
import { readManifest } from '../../../repository/backups/manifest.ts';
import { verifyBackup } from '../../../repository/backups/verify.ts';
import { copyBackup } from '../../../repository/copy.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { ClearStore } from '../../../repository/encryption/clear-store.ts';
import { type BackupId, manifestKey, registerKey, signatureKey } from '../../../repository/layout.ts';
import { deleteBackup } from '../../../repository/retention/delete-backup.ts';
import { holdLocks } from '../../../repository/retention/locks.ts';
import { discardBackup, removeOrphans, tombstone } from '../../../repository/retention/sweep.ts';
import { sealJson } from '../../../repository/sealed-json.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import { acknowledgeRegister, compareRegister, readRegister } from '../../../repository/signing/register.ts';
import { signBackup, signRepository } from '../../../repository/signing/sign-backups.ts';
import { parsePublicKey } from '../../../repository/signing/ssh-signature.ts';
import type { Store } from '../../../repository/store.ts';
import { crashingAt } from '../failing-store.ts';
import { SAMPLE, writeSampleBackup } from '../sample-backup.ts';
import { newSigner, signedStore, signingOf } from './signers.ts';

const PLAN = SAMPLE.plan;
const worker = newSigner();
const backupOf = (day: number): BackupId => ({ plan: PLAN, backup: `202611${day}T020000Z-sample` });

let scratch: ScratchFolder;
let folders = 0;
beforeAll(async () => {
  scratch = await createScratchFolder('register');
});
afterAll(() => scratch.remove());

async function newFolder(): Promise<string> {
  const folder = path.join(scratch.path, String(++folders));
  await mkdir(folder);
  return folder;
}
const open = (folder: string) => signedStore(new DirectoryStore(folder), worker, [worker]);
const write = (store: Store, ref: BackupId) =>
  writeSampleBackup(store, undefined, ref, `2026-11-${ref.backup.slice(6, 8)}T02:00:01.000Z`);

async function problemsOf(store: Store): Promise<readonly string[]> {
  const report = await compareRegister(store, PLAN, await listBackups(store, PLAN));
  if (report === undefined) throw new Error('nothing was compared');
  return report.problems;
}

async function names(store: Store): Promise<readonly string[]> {
  return (await readRegister(store, PLAN))?.backups.map(({ backup }) => backup) ?? [];
}

test('the register has every backup in the order of their ends, and each manifest names the one before it with its digest', async () => {
  const store = open(await newFolder());
  const first = await write(store, backupOf(23));
  await write(store, backupOf(24));
  expect(await names(store)).toEqual([backupOf(23).backup, backupOf(24).backup]);
  expect(await readManifest(store, backupOf(23))).toMatchObject({ register: 0 });
  expect(await readManifest(store, backupOf(24))).toMatchObject({
    register: 2,
    predecessor: { backup: backupOf(23).backup, sha256: first.sha256 },
  });
  expect(await problemsOf(store)).toEqual([]);
});

test('a writer that dies at any operation, and whoever finishes or discards its backup, leave a register that agrees', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 90 }),
      fc.constantFrom('before' as const, 'performed' as const),
      fc.boolean(),
      async (crashAt, kind, isFinished) => {
        const folder = await newFolder();
        const store = open(folder);
        await write(store, backupOf(23));
        const dying = signedStore(crashingAt(new DirectoryStore(folder), crashAt, kind), worker, [worker]);
        await write(dying, backupOf(24)).catch(() => undefined);
        expect(await problemsOf(store)).toEqual([]);
        if (isFinished) await write(store, backupOf(24));
        else await discardBackup(store, backupOf(24), 'a test');
        await write(store, backupOf(25));
        expect(await problemsOf(store)).toEqual([]);
        const { backups } = await listBackups(store, PLAN);
        expect(new Set(await names(store))).toEqual(new Set(backups.map(({ backup }) => backup)));
      },
    ),
    { numRuns: 12 },
  );
});

test('writers that end at once are all in the register', async () => {
  const store = open(await newFolder());
  await write(store, backupOf(22));
  const days = [23, 24, 25, 26];
  await Promise.all(days.map((day) => write(store, backupOf(day))));
  expect(new Set(await names(store))).toEqual(new Set([22, ...days].map((day) => backupOf(day).backup)));
  expect(await problemsOf(store)).toEqual([]);
});

test('what a prune deletes is struck out; what somebody else takes away, or brings back, is told', async () => {
  const folder = await newFolder();
  const store = open(folder);
  for (const day of [23, 24, 25]) await write(store, backupOf(day));
  const place = (day: number) => path.join(folder, 'backups', PLAN, backupOf(day).backup);
  await cp(place(23), path.join(scratch.path, 'kept'), { recursive: true });
  const mark = {
    ...backupOf(23),
    markedAt: new Date(0).toISOString(),
    deleteAfter: new Date(0).toISOString(),
  };
  await deleteBackup(store, mark, { reason: 'a test', isLive: async () => false, graceMs: 0 });
  expect(await problemsOf(store)).toEqual([]);

  await rm(place(23), { recursive: true, force: true });
  await cp(path.join(scratch.path, 'kept'), place(23), { recursive: true });
  expect(await problemsOf(store)).toEqual([
    expect.stringContaining(`Backup ${backupOf(23).backup} is signed, and not in`),
  ]);
  expect(await verifyBackup(store, backupOf(23), 'exists')).toMatchObject({ verdict: 'FAILED' });
  expect(await verifyBackup(store, backupOf(25), 'exists')).toMatchObject({
    verdict: 'OK',
    notes: [expect.stringContaining(backupOf(23).backup)],
  });

  await rm(place(24), { recursive: true });
  expect(await problemsOf(store)).toContainEqual(
    expect.stringContaining(`Backup ${backupOf(24).backup} should be there`),
  );
  await acknowledgeRegister(store, { plan: PLAN });
  expect(await problemsOf(store)).toEqual([]);
  expect(await names(store)).toEqual([backupOf(23).backup, backupOf(25).backup]);
});

test('the newest backup that somebody takes away is told, also after the next one was made', async () => {
  const folder = await newFolder();
  const store = open(folder);
  for (const day of [23, 24]) await write(store, backupOf(day));
  await rm(path.join(folder, 'backups', PLAN, backupOf(24).backup), { recursive: true });
  const hidden = expect.stringContaining(`Backup ${backupOf(24).backup} should be there`);
  expect(await problemsOf(store)).toEqual([hidden]);
  await write(store, backupOf(25));
  expect(await problemsOf(store)).toEqual([hidden]);
});

test('of a backup whose manifest somebody takes away, or puts a tombstone over, a prune clears nothing away', async () => {
  const store = open(await newFolder());
  await write(store, backupOf(23));
  const key = manifestKey(backupOf(23));
  const manifest = await store.get(key);
  const forged = sealJson(tombstone(backupOf(23), 'forged', true));
  for (const lose of [
    () => store.delete([key]),
    async () => void (await store.put(key, forged, { sha256: sha256Hex(forged), ifAbsent: false })),
  ]) {
    await lose();
    expect(await removeOrphans(store, PLAN, -3_600_000)).toMatchObject({ deletedObjects: 0, orphans: [] });
    await store.put(key, manifest, { sha256: sha256Hex(manifest), ifAbsent: false });
    expect(await verifyBackup(store, backupOf(23), 'content')).toMatchObject({ verdict: 'OK' });
  }
  // Once a person has looked, the register doesn't miss it any more.
  await store.delete([key]);
  await acknowledgeRegister(store, { plan: PLAN });
  await removeOrphans(store, PLAN, -3_600_000);
  await removeOrphans(store, PLAN, -3_600_000);
  expect(await Array.fromAsync(store.list('backups/'))).toEqual([]);
});

test('the newest copy that somebody takes away is told too', async () => {
  const source = open(await newFolder());
  await write(source, SAMPLE);
  const folder = await newFolder();
  const target = open(folder);
  await copyBackup(source, target, SAMPLE);
  await rm(path.join(folder, 'backups', PLAN, SAMPLE.backup), { recursive: true });
  expect(await problemsOf(target)).toEqual([expect.stringContaining('should be there')]);
});

test('a copy from a repository that isn’t signed is vouched for by nobody', async () => {
  const folder = await newFolder();
  await write(new ClearStore(new DirectoryStore(folder)), SAMPLE);
  const target = open(await newFolder());
  const unsigned = new ClearStore(new DirectoryStore(folder));
  await expect(copyBackup(unsigned, target, SAMPLE)).rejects.toMatchObject({ code: 'SIGNATURE_MISSING' });
  expect((await listBackups(target, PLAN)).backups).toEqual([]);
  // What the target itself trusts may come by any way.
  const signed = await newFolder();
  await write(open(signed), SAMPLE);
  await copyBackup(new ClearStore(new DirectoryStore(signed)), target, SAMPLE);
  expect(await verifyBackup(target, SAMPLE, 'content')).toMatchObject({ verdict: 'OK' });
});

test('a register that is forged is passed over; one that is gone, or put back to an older one, is told until a person has looked', async () => {
  const folder = await newFolder();
  const store = open(folder);
  await write(store, backupOf(23));
  const older = path.join(scratch.path, 'older');
  await cp(path.join(folder, 'register'), older, { recursive: true });
  await write(store, backupOf(24));
  await write(store, backupOf(25));

  const forged = sealJson({
    formatVersion: 1,
    plan: PLAN,
    number: 7,
    writtenAt: '2026-11-25T00:00:00.000Z',
    backups: [],
  });
  await new DirectoryStore(folder).put(registerKey(PLAN, 7), forged, {
    sha256: sha256Hex(forged),
    ifAbsent: true,
  });
  expect(await problemsOf(store)).toEqual([]);
  await write(store, backupOf(26));
  expect((await readRegister(store, PLAN))?.number).toBe(8);
  expect(await problemsOf(store)).toEqual([]);

  await rm(path.join(folder, 'register'), { recursive: true });
  await cp(older, path.join(folder, 'register'), { recursive: true });
  expect(await problemsOf(store)).toContainEqual(expect.stringContaining('put back to an older one'));
  await acknowledgeRegister(store, { plan: PLAN });
  expect(await problemsOf(store)).toEqual([]);

  await rm(path.join(folder, 'register'), { recursive: true });
  expect(await problemsOf(store)).toContainEqual(expect.stringContaining('is gone'));
  await write(store, backupOf(27));
  expect(await problemsOf(store)).toContainEqual(expect.stringContaining('was lost before'));
  await acknowledgeRegister(store, { plan: PLAN });
  expect(await problemsOf(store)).toEqual([]);
});

test('a process without the key writes nothing that must be signed; one whose key the plan does not trust neither', async () => {
  const raw = new DirectoryStore(await newFolder());
  await expect(write(signedStore(raw, undefined, [worker]), SAMPLE)).rejects.toMatchObject({
    code: 'SIGNING_NO_KEY',
  });
  await expect(write(signedStore(raw, newSigner('other'), [worker]), SAMPLE)).rejects.toMatchObject({
    code: 'SIGNING_KEY_NOT_TRUSTED',
  });
  const store = signedStore(raw, worker, [worker]);
  await write(store, SAMPLE);
  // Reading needs no key.
  expect(await verifyBackup(signedStore(raw, undefined, [worker]), SAMPLE, 'content')).toMatchObject({
    verdict: 'OK',
  });
  const mark = { ...SAMPLE, markedAt: new Date(0).toISOString(), deleteAfter: new Date(0).toISOString() };
  const keyless = signedStore(raw, undefined, [worker]);
  const options = { reason: 'a test', isLive: async () => false };
  await expect(deleteBackup(keyless, mark, options)).rejects.toMatchObject({ code: 'SIGNING_NO_KEY' });
  expect(await verifyBackup(store, SAMPLE, 'exists')).toMatchObject({ verdict: 'OK' });
});

test('keys rotate: old backups count as long as their key is trusted, and can be signed by the new one', async () => {
  const raw = new DirectoryStore(await newFolder());
  const next = newSigner('next');
  await write(signedStore(raw, worker, [worker]), backupOf(23));
  const both = signedStore(raw, next, [worker, next]);
  await write(both, backupOf(24));
  expect((await listBackups(both, PLAN)).backups).toHaveLength(2);
  const after = signedStore(raw, next, [next]);
  expect((await listBackups(after, PLAN)).unusable).toMatchObject([
    { backup: backupOf(23).backup, state: 'foreign' },
  ]);
  expect(await verifyBackup(after, backupOf(23), 'content')).toMatchObject({ verdict: 'INCONCLUSIVE' });
  const place = { store: after, signing: signingOf(next, [next]), unsigned: new ClearStore(raw) };
  expect(await signBackup(place, backupOf(23))).toMatchObject({ outcome: 'signed' });
  expect((await listBackups(after, PLAN)).backups).toHaveLength(2);
  expect(await problemsOf(after)).toEqual([]);
});

test('one signature that is trusted is enough, whatever somebody lays beside it', async () => {
  const raw = new DirectoryStore(await newFolder());
  await write(new ClearStore(raw), SAMPLE);
  const second = newSigner('second');
  const store = signedStore(raw, second, [worker, second]);
  const place = { store, signing: signingOf(second, [worker, second]), unsigned: new ClearStore(raw) };
  await signRepository(place);
  expect(await signBackup(place, SAMPLE)).toMatchObject({ outcome: 'signed' });
  const key = manifestKey(SAMPLE);
  const fingerprint = parsePublicKey(worker.publicLine)?.fingerprint ?? '';
  const junk = Buffer.from('no signature');
  const at = signatureKey(key, sha256Hex(await raw.get(key)), fingerprint);
  await raw.put(at, junk, { sha256: sha256Hex(junk), ifAbsent: true });
  expect(await readManifest(store, SAMPLE)).toMatchObject({ backup: SAMPLE.backup });
});

test('backups from before are signed once they were found whole, and a damaged one is not', async () => {
  const folder = await newFolder();
  const raw = new DirectoryStore(folder);
  const unsigned = new ClearStore(raw);
  for (const day of [23, 24]) await write(unsigned, backupOf(day));
  const store = open(folder);
  await expect(write(store, backupOf(25))).rejects.toMatchObject({ code: 'SIGNATURE_MISSING' });
  const place = { store, signing: signingOf(worker, [worker]), unsigned };
  expect(await signRepository(place)).toBe('signed');
  expect(await signRepository(place)).toBe('already');
  expect((await listBackups(store, PLAN)).unusable.map(({ state }) => state)).toEqual([
    'unsigned',
    'unsigned',
  ]);
  expect(await verifyBackup(store, backupOf(23), 'content')).toMatchObject({ verdict: 'INCONCLUSIVE' });

  const data = path.join(folder, 'backups', PLAN, backupOf(24).backup, 'data');
  await rm(data, { recursive: true });
  expect(await signBackup(place, backupOf(24))).toMatchObject({
    outcome: 'refused',
    report: { verdict: 'FAILED' },
  });
  expect(await signBackup(place, backupOf(23))).toMatchObject({ outcome: 'signed' });
  expect(await signBackup(place, backupOf(23))).toMatchObject({ outcome: 'already' });
  expect(await verifyBackup(store, backupOf(23), 'content')).toMatchObject({ verdict: 'OK' });
  await write(store, backupOf(25));
  expect((await listBackups(store, PLAN)).backups).toHaveLength(2);
  expect(await problemsOf(store)).toEqual([]);
});

test('a signing of an earlier backup that is cut off at any write is ended by the next one', async () => {
  let cuts = 0;
  for (let died = true; died; ) {
    died = false;
    cuts += 1;
    const folder = await newFolder();
    const raw = new DirectoryStore(folder);
    const unsigned = new ClearStore(raw);
    await write(unsigned, backupOf(23));
    const store = open(folder);
    const place = { store, signing: signingOf(worker, [worker]), unsigned };
    await signRepository(place);
    let writes = 0;
    const dying = new Proxy(raw, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name, target);
        if (name !== 'put') return typeof member === 'function' ? member.bind(target) : member;
        return (...args: Parameters<Store['put']>) => {
          writes += 1;
          if (writes < cuts) return target.put(...args);
          died = true;
          throw new Error('the process died');
        };
      },
    });
    const cutOff = signBackup({ ...place, store: signedStore(dying, worker, [worker]) }, backupOf(23));
    await cutOff.catch((error: Error) => expect(error.message).toBe('the process died'));
    await signBackup(place, backupOf(23));
    expect(await problemsOf(store)).toEqual([]);
    expect(await names(store)).toEqual([backupOf(23).backup]);
    expect(await verifyBackup(store, backupOf(23), 'content')).toMatchObject({ verdict: 'OK' });
  }
  expect(cuts).toBeGreaterThan(2);
});

test('a later signature of repository.json is locked as long as that itself', async () => {
  const folder = await newFolder();
  const raw = new DirectoryStore(folder);
  const unsigned = new ClearStore(raw);
  await write(unsigned, backupOf(23));
  await signRepository({ store: open(folder), signing: signingOf(worker, [worker]), unsigned });
  const held: string[] = [];
  const locks = {
    forMs: 1_000,
    now: () => new Date(),
    hold: async (key: string) => {
      held.push(key);
      return 'held' as const;
    },
  };
  const locking = new Proxy(raw, {
    get: (target, name) => {
      const member: unknown = name === 'locks' ? locks : Reflect.get(target, name, target);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
  await holdLocks(locking, [], new Date());
  expect(held).toContainEqual(expect.stringMatching(/^signatures\/repository\.json\//));
});

test('a copy is signed by the target’s key where the target does not trust the source’s, and is in its register', async () => {
  const source = open(await newFolder());
  await write(source, SAMPLE);
  const other = newSigner('second site');
  const target = signedStore(new DirectoryStore(await newFolder()), other, [other]);
  await copyBackup(source, target, SAMPLE);
  expect(await verifyBackup(target, SAMPLE, 'content')).toMatchObject({ verdict: 'OK' });
  expect(await names(target)).toEqual([SAMPLE.backup]);
  // What nobody signed at the source is not copied.
  const strange = open(await newFolder());
  await expect(
    copyBackup(signedStore(new DirectoryStore(await newFolder()), worker, [other]), strange, SAMPLE),
  ).rejects.toMatchObject({ code: 'BACKUP_NOT_FOUND' });
});
