import { setTimeout as sleep } from 'node:timers/promises';
import {
  DeleteObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { DAY_MS } from '../../model/time.ts';
import { type S3Gateway, startS3Gateway } from '../../parts/s3.ts';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { ClearStore } from '../../repository/encryption/clear-store.ts';
import { isKept } from '../../repository/layout.ts';
import type { S3Store } from '../../repository/s3/store.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import { undoSince } from '../../repository/undo.ts';
import { SAMPLE, writeSampleBackup } from '../repository/sample-backup.ts';
import { deleteBackup, sampleTablets, writeTabletBackup } from '../repository/sample-tablets.ts';
import { type Account, openGuarded, PREFIX, policyOf } from '../support/guarded-stores.ts';

/*
 * Somebody has the credentials of the workers that back up, and of those that prune, as docs/retention.md grants them, and destroys what he can in a bucket with
 * object lock. Nothing may be lost within the lock: `holdfast repository undo` brings it back.
 */

const BUCKET = 'acme-backups';
const TABLETS = { plan: 'orders', backup: '20261123T030000Z-tablet' };
const UNTIL_SOON = new Date(Date.now() + 60_000);

let gateway: S3Gateway;
let accounts: { readonly worker: Account; readonly pruner: Account };
const clients: S3Client[] = [];
beforeAll(async () => {
  gateway = await startS3Gateway({ versioning: true, users: true });
  await gateway.createBucket(BUCKET, { objectLock: true });
  accounts = { worker: await gateway.createUser(), pruner: await gateway.createUser() };
  await gateway.setPolicy(BUCKET, [
    { user: accounts.worker, statements: await policyOf('backup', BUCKET) },
    { user: accounts.pruner, statements: await policyOf('prune', BUCKET) },
  ]);
});
afterAll(async () => {
  for (const client of clients) client.destroy();
  await gateway.stop();
});

function clientOf(credentials: Account): S3Client {
  const { endpoint, region } = gateway;
  const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials, maxAttempts: 1 });
  clients.push(client);
  return client;
}

const storeOf = (account: Account): Promise<S3Store> =>
  openGuarded(gateway, BUCKET, account, { objectLock: { mode: 'COMPLIANCE', days: 30 } });

/** SHA-256 of every object that is kept, by key. */
async function contentsOf(store: S3Store): Promise<ReadonlyMap<string, string>> {
  const contents = new Map<string, string>();
  for await (const { key } of store.list(''))
    if (isKept(key)) contents.set(key, sha256Hex(await store.get(key)));
  return contents;
}

async function versionsIn(client: S3Client) {
  const { Versions = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: BUCKET }));
  return Versions.map(({ Key = '', VersionId = '' }) => ({ Key, VersionId }));
}

/** What an attempt came to: done, or the store's word for refusing it. */
async function attempt(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return 'done';
  } catch (error) {
    return error instanceof Error ? error.name : String(error);
  }
}

test('who has the workers’ credentials destroys nothing for good that is locked, and one command brings it back', async () => {
  const owner = await storeOf(gateway);
  const writer = new ClearStore(owner);
  await writeSampleBackup(writer);
  await writeTabletBackup(writer, TABLETS, sampleTablets(3, 'the same'), '2026-11-23T03:00:00.000Z');
  const before = await contentsOf(owner);
  expect(before.size).toBeGreaterThan(10);
  // The store keeps whole seconds.
  await sleep(1_100);
  const since = new Date();
  await sleep(1_100);

  const worker = clientOf(accounts.worker);
  const pruner = clientOf(accounts.pruner);
  const versions = await versionsIn(clientOf(gateway));
  const inBucket = [...before.keys()].map((key) => `${PREFIX}/${key}`);
  const locked = versions.filter(({ Key }) => inBucket.includes(Key));
  for (const { Key, VersionId } of locked) {
    const target = { Bucket: BUCKET, Key };
    const outcomes = [
      await attempt(() => worker.send(new DeleteObjectCommand(target))),
      await attempt(() => worker.send(new DeleteObjectCommand({ ...target, VersionId }))),
      await attempt(() => pruner.send(new DeleteObjectCommand({ ...target, VersionId }))),
      await attempt(() =>
        worker.send(
          new PutObjectRetentionCommand({
            ...{ ...target, VersionId, BypassGovernanceRetention: true },
            Retention: { Mode: 'GOVERNANCE', RetainUntilDate: UNTIL_SOON },
          }),
        ),
      ),
    ];
    expect([Key, outcomes.filter((outcome) => outcome === 'done')]).toEqual([Key, []]);
  }
  // What he can: every second object he overwrites, and every one he deletes, so that only a marker is seen.
  for (const [place, Key] of inBucket.entries()) {
    const target = { Bucket: BUCKET, Key };
    if (place % 2 === 0) {
      expect(
        await attempt(() => worker.send(new PutObjectCommand({ ...target, Body: `junk ${place}` }))),
      ).toBe('done');
    } else {
      expect(await attempt(() => pruner.send(new DeleteObjectCommand(target)))).toBe('done');
    }
  }
  expect(
    (await verifyBackup(new ClearStore(owner), SAMPLE, 'content').catch(() => undefined))?.verdict,
  ).not.toBe('OK');

  const looked = await undoSince(owner, { since, putBack: false });
  expect(looked).toMatchObject({
    overwritten: Math.ceil(before.size / 2),
    deleted: Math.floor(before.size / 2),
  });
  expect((await contentsOf(owner)).size).toBe(Math.ceil(before.size / 2));

  expect(await undoSince(owner, { since, putBack: true })).toMatchObject({ deleted: looked.deleted });
  expect(await contentsOf(owner)).toEqual(before);
  for (const ref of [SAMPLE, TABLETS]) {
    expect(await verifyBackup(new ClearStore(owner), ref, 'content')).toMatchObject({
      verdict: 'OK',
      problems: [],
    });
  }
  // Twice changes nothing, and what is back is locked again.
  expect(await undoSince(owner, { since, putBack: true })).toMatchObject({ deleted: 0, overwritten: 0 });
  const { lockedUntil } = (await owner.head('repository.json')) ?? {};
  expect(lockedUntil?.getTime()).toBeGreaterThan(Date.now() + 29 * DAY_MS);
  expect(
    (await clientOf(gateway).send(new ListObjectsV2Command({ Bucket: BUCKET }))).KeyCount,
  ).toBeGreaterThan(0);
  await owner.close();
});

test('what retention deleted comes back too, and what came since stays', async () => {
  const owner = await storeOf(gateway);
  const store = new ClearStore(owner);
  const later = { plan: 'orders', backup: '20261124T030000Z-tablet' };
  const before = await contentsOf(owner);
  await sleep(1_100);
  const since = new Date();
  await sleep(1_100);
  await writeTabletBackup(store, later, sampleTablets(2, 'another'), '2026-11-24T03:00:00.000Z');
  await deleteBackup(store, TABLETS);
  const { deleted } = await undoSince(owner, { since, putBack: true });
  expect(deleted).toBeGreaterThan(0);
  const after = await contentsOf(owner);
  expect([...before].filter(([key, sha256]) => after.get(key) !== sha256)).toEqual([]);
  expect(await verifyBackup(store, later, 'content')).toMatchObject({ verdict: 'OK' });
  await owner.close();
});
