import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { ClearStore } from '../../repository/encryption/clear-store.ts';
import { EncryptedStore } from '../../repository/encryption/encrypted-store.ts';
import { repairRepository } from '../../repository/repair.ts';
import { readRepository } from '../../repository/repository.ts';
import { encryptionOf, newPeople, secretsOf } from './encryption/recipients.ts';
import { SAMPLE, writeSampleBackup } from './sample-backup.ts';
import { newSigner, signedStore, signingOf } from './signing/signers.ts';

let scratch: ScratchFolder;
let folders = 0;
beforeAll(async () => {
  scratch = await createScratchFolder('repair');
});
afterAll(() => scratch.remove());

async function newFolder(): Promise<string> {
  const folder = path.join(scratch.path, String(++folders));
  await mkdir(folder);
  return folder;
}
const documentOf = (folder: string) => path.join(folder, 'repository.json');
const noSecret = secretsOf({});

/** A byte in the middle becomes another, as a bad disk does it. */
async function damage(folder: string): Promise<void> {
  const text = await readFile(documentOf(folder), 'utf8');
  await writeFile(documentOf(folder), text.replace('formatVersion', 'formatVersiom'));
}

test('a damaged document keeps its id, and what was there is kept; a whole one is left alone', async () => {
  const folder = await newFolder();
  const raw = new DirectoryStore(folder);
  await writeSampleBackup(new ClearStore(raw));
  const before = await readRepository(raw);
  expect(await repairRepository(raw, { secret: noSecret })).toMatchObject({
    outcome: 'whole',
    identity: before,
  });
  await damage(folder);
  await expect(readRepository(raw)).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
  const result = await repairRepository(raw, { secret: noSecret });
  expect(result).toMatchObject({ outcome: 'repaired', identity: before, backups: 1, isNewId: false });
  expect(await readRepository(raw)).toEqual(before);
  expect(Buffer.from(await raw.get(result.kept ?? '')).toString()).toContain('formatVersiom');
});

test('a missing document is made anew from manifests, with the id that a person gives or a new one; without a manifest nothing is made', async () => {
  const folder = await newFolder();
  const raw = new DirectoryStore(folder);
  await expect(repairRepository(raw, { secret: noSecret })).rejects.toMatchObject({
    code: 'REPOSITORY_NOT_FOUND',
  });
  await writeSampleBackup(new ClearStore(raw));
  const before = await readRepository(raw);
  await rm(documentOf(folder));
  const named = await repairRepository(raw, { secret: noSecret, id: before.id });
  expect(named).toMatchObject({ identity: { id: before.id, formatVersion: 1 }, isNewId: false });
  await rm(documentOf(folder));
  expect(await repairRepository(raw, { secret: noSecret })).toMatchObject({ isNewId: true });
  expect(await verifyBackup(new ClearStore(raw), SAMPLE, 'content')).toMatchObject({ verdict: 'OK' });
});

test('an encrypted one is proven by its manifests: the wrong id is refused, the right one reads every backup again', async () => {
  const folder = await newFolder();
  const raw = new DirectoryStore(folder);
  const people = await newPeople();
  const secret = secretsOf({ IDENTITY: people.alice.identity, METADATA_IDENTITY: people.worker.identity });
  const encryption = encryptionOf(people);
  const open = () => new EncryptedStore(raw, encryption, secret);
  await writeSampleBackup(open());
  const before = await readRepository(raw);

  await damage(folder);
  expect(await repairRepository(raw, { encryption, secret })).toMatchObject({
    identity: before,
    isNewId: false,
  });
  await rm(documentOf(folder));
  await expect(repairRepository(raw, { encryption, secret })).rejects.toMatchObject({
    code: 'REPOSITORY_ID_UNKNOWN',
  });
  const wrong = '00000000-0000-4000-8000-000000000000';
  await expect(repairRepository(raw, { encryption, secret, id: wrong })).rejects.toMatchObject({
    code: 'REPOSITORY_ID_UNKNOWN',
  });
  await expect(repairRepository(raw, { secret, id: before.id })).rejects.toMatchObject({
    code: 'REPOSITORY_IS_ENCRYPTED',
  });
  const { identity } = await repairRepository(raw, { encryption, secret, id: before.id });
  expect(identity).toMatchObject({ id: before.id, encryption: before.encryption });
  expect(await verifyBackup(open(), SAMPLE, 'content')).toMatchObject({ verdict: 'OK' });
});

test('in a signed repository the new document is signed', async () => {
  const folder = await newFolder();
  const raw = new DirectoryStore(folder);
  const worker = newSigner();
  const store = signedStore(raw, worker, [worker]);
  await writeSampleBackup(store);
  await damage(folder);
  await expect(
    repairRepository(raw, { secret: noSecret, signing: signingOf(undefined, [worker]) }),
  ).rejects.toMatchObject({ code: 'SIGNING_NO_KEY' });
  await repairRepository(raw, { secret: noSecret, signing: signingOf(worker, [worker]) });
  await writeSampleBackup(store, undefined, { ...SAMPLE, backup: '20261124T020000Z-next' });
});

test('in a signed repository manifests that nobody trusted signed tell nothing: neither that it is one, nor by which keys', async () => {
  const folder = await newFolder();
  const raw = new DirectoryStore(folder);
  await writeSampleBackup(raw);
  await damage(folder);
  const worker = newSigner();
  const wishes = { secret: noSecret, signing: signingOf(worker, [worker]) };
  await expect(repairRepository(raw, wishes)).rejects.toMatchObject({ code: 'SIGNATURE_MISSING' });
});
