import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { deleteApproved } from '../../activities/delete-approved.ts';
import type { PruneInput } from '../../model/prune.ts';
import type { DeletionSpec } from '../../model/source.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { readManifest } from '../../repository/backups/manifest.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { approvalKey, deletionRequestKey } from '../../repository/layout.ts';
import {
  approveDeletion,
  askDeletion,
  findDeletion,
  isApproved,
  withdrawDeletion,
} from '../../repository/retention/deletions.ts';
import { holdBackup, releaseBackup } from '../../repository/retention/holds.ts';
import { putMark, readMarks } from '../../repository/retention/marks.ts';
import { sealSignedJson } from '../../repository/sealed-json.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import { namespaceOf } from '../../repository/signing/signing.ts';
import { readSigningKey } from '../../repository/signing/ssh-key.ts';
import { signMessage } from '../../repository/signing/ssh-signature.ts';
import type { Store } from '../../repository/store.ts';
import { SAMPLE, writeSampleBackup } from './sample-backup.ts';
import { newSigner } from './signing/signers.ts';

const [alice, bob, carol, mallory] = ['alice', 'bob', 'carol', 'mallory'].map((name) => newSigner(name));
if (alice === undefined || bob === undefined || carol === undefined || mallory === undefined)
  throw new Error();
const keyOf = ({ file }: { readonly file: string }) => readSigningKey(file, 'here');
const approvers = [alice, bob, carol].map(({ publicLine }) => publicLine);
const ONE: DeletionSpec = { approvers, approvals: 1 };
const TWO: DeletionSpec = { approvers, approvals: 2 };

let scratch: ScratchFolder;
let folders = 0;
beforeAll(async () => {
  scratch = await createScratchFolder('deletions');
});
afterAll(() => scratch.remove());

async function newStore(): Promise<Store> {
  const folder = path.join(scratch.path, String(++folders));
  await mkdir(folder);
  const store = new DirectoryStore(folder);
  await writeSampleBackup(store);
  return store;
}

async function prune(store: Store, deletion: DeletionSpec) {
  const input: PruneInput = {
    plan: SAMPLE.plan,
    repository: { name: 'main', location: { kind: 'directory', path: '/nowhere' }, deletion },
  };
  const { signal } = new AbortController();
  const pruning = {
    store,
    signal,
    heartbeat: () => undefined,
    holdLease: async () => undefined,
    now: new Date(),
  };
  return deleteApproved(pruning, input, { verdicts: [], isLive: async () => false });
}

test('one asks, another approves, and only then a prune deletes; who asked can’t approve, by whatever way', async () => {
  const store = await newStore();
  await askDeletion(store, ONE, SAMPLE, keyOf(alice), { reason: 'personal data' });
  expect(await prune(store, ONE)).toEqual([]);
  await expect(approveDeletion(store, ONE, SAMPLE, keyOf(alice))).rejects.toMatchObject({
    code: 'DELETION_OWN_REQUEST',
  });
  await expect(approveDeletion(store, ONE, SAMPLE, keyOf(mallory))).rejects.toMatchObject({
    code: 'DELETION_NO_APPROVER',
  });
  // The accomplice writes approvals himself: his own under another's name, and one that only looks signed.
  const request = await findDeletion(store, ONE, SAMPLE);
  for (const [signer, name] of [
    [alice, bob],
    [alice, alice],
    [mallory, carol],
  ] as const) {
    const key = approvalKey(SAMPLE, keyOf(name).public.fingerprint);
    const body = await sealSignedJson(
      { ...SAMPLE, request: request?.sha256, at: new Date().toISOString() },
      async (message) => signMessage(keyOf(signer), namespaceOf(key), message),
    );
    await store.put(key, body, { sha256: sha256Hex(body), ifAbsent: false });
  }
  expect(await findDeletion(store, ONE, SAMPLE)).toMatchObject({ approvedBy: [] });
  expect(await prune(store, ONE)).toEqual([]);
  await readManifest(store, SAMPLE);

  expect(isApproved(await approveDeletion(store, ONE, SAMPLE, keyOf(bob)))).toBe(true);
  expect(await prune(store, ONE)).toMatchObject([{ backup: SAMPLE.backup, ended: { outcome: 'deleted' } }]);
  await expect(readManifest(store, SAMPLE)).rejects.toMatchObject({ code: 'BACKUP_DISCARDED' });
  expect(await prune(store, ONE)).toEqual([]);
});

test('a request that is changed, or asked anew, loses its approvals; n of m are asked for where the plan says so', async () => {
  const store = await newStore();
  await askDeletion(store, TWO, SAMPLE, keyOf(alice), { reason: 'personal data' });
  await expect(askDeletion(store, TWO, SAMPLE, keyOf(bob), { reason: 'again' })).rejects.toMatchObject({
    code: 'DELETION_ASKED_ALREADY',
  });
  expect(isApproved(await approveDeletion(store, TWO, SAMPLE, keyOf(bob)))).toBe(false);
  expect(isApproved(await approveDeletion(store, TWO, SAMPLE, keyOf(bob)))).toBe(false);
  expect(isApproved(await approveDeletion(store, TWO, SAMPLE, keyOf(carol)))).toBe(true);
  const body = Buffer.from(await store.get(deletionRequestKey(SAMPLE)));
  await withdrawDeletion(store, SAMPLE);
  expect(await findDeletion(store, TWO, SAMPLE)).toBeUndefined();
  // A request that somebody put back or made up counts for nothing without its approvals.
  await store.put(deletionRequestKey(SAMPLE), body, { sha256: sha256Hex(body), ifAbsent: false });
  expect(await findDeletion(store, TWO, SAMPLE)).toMatchObject({ approvedBy: [] });
  expect(await prune(store, TWO)).toEqual([]);
});

test('what is held stays, approved or not, until it is released', async () => {
  const store = await newStore();
  await askDeletion(store, ONE, SAMPLE, keyOf(alice), { reason: 'personal data' });
  await approveDeletion(store, ONE, SAMPLE, keyOf(bob));
  await holdBackup(store, SAMPLE, { reason: 'case 4711', by: 'carol' });
  expect(await prune(store, ONE)).toMatchObject([
    { ended: { outcome: 'inUse', reader: expect.stringContaining('case 4711') } },
  ]);
  // Nothing is left by which retention would take the grace time for over, should the request be withdrawn.
  expect((await readMarks(store, SAMPLE.plan)).size).toBe(0);
  const mark = { ...SAMPLE, markedAt: '2026-11-30T00:00:00.000Z', deleteAfter: '2099-01-01T00:00:00.000Z' };
  await putMark(store, mark);
  expect(await prune(store, ONE)).toMatchObject([{ ended: { outcome: 'inUse' } }]);
  expect((await readMarks(store, SAMPLE.plan)).get(SAMPLE.backup)).toEqual(mark);
  await releaseBackup(store, SAMPLE, { reason: 'closed', by: 'carol' });
  expect(await prune(store, ONE)).toMatchObject([{ ended: { outcome: 'deleted' } }]);
});
