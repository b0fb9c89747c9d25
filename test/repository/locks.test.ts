import {
  CreateBucketCommand,
  GetObjectRetentionCommand,
  ListObjectsV2Command,
  PutObjectLockConfigurationCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import fc from 'fast-check';
import type { S3Location } from '../../model/pipeline.ts';
import { DAY_MS } from '../../model/time.ts';
import { type S3Gateway, startS3Gateway } from '../../parts/s3.ts';
import { readManifest } from '../../repository/backups/manifest.ts';
import { readSharedObjects } from '../../repository/backups/shared-objects.ts';
import { ClearStore } from '../../repository/encryption/clear-store.ts';
import { EncryptedStore } from '../../repository/encryption/encrypted-store.ts';
import { backupFolder, isWork, sharedObjectKey, workListName } from '../../repository/layout.ts';
import { endNotes, haveEnded } from '../../repository/notes.ts';
import { sweepObjects } from '../../repository/objects/sweep-objects.ts';
import { ensureRepository } from '../../repository/repository.ts';
import { holdLock } from '../../repository/s3/locks.ts';
import { S3Store } from '../../repository/s3/store.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import type { Store } from '../../repository/store.ts';
import '../support/seeded-properties.ts';
import { backupSide, newPeople } from './encryption/recipients.ts';
import { deleteBackup, sampleTablets, writeTabletBackup } from './sample-tablets.ts';

const PLAN = 'orders';
const DAYS = 30;
const BEGIN_MS = Math.ceil(Date.now() / 1000) * 1000;
/** In the future: everything is older. */
const NO_GRACE_MS = -60_000;
const ONCE = { attempts: 1, baseDelayMs: 1, maxDelayMs: 1 };

/** Locks on a real gateway, whose objects are locked until days that are still to come; the clock of the writer is ours. */
describe('the locks of a repository', () => {
  let gateway: S3Gateway;
  let client: S3Client;
  let nowMs = BEGIN_MS;
  let buckets = 0;
  beforeAll(async () => {
    gateway = await startS3Gateway({ versioning: true });
    client = new S3Client({
      ...{ endpoint: gateway.endpoint, region: gateway.region, forcePathStyle: true },
      credentials: { accessKeyId: gateway.accessKeyId, secretAccessKey: gateway.secretAccessKey },
    });
  });
  afterAll(async () => {
    client.destroy();
    await gateway.stop();
  });
  beforeEach(() => {
    nowMs = BEGIN_MS;
  });

  async function newBucket(): Promise<string> {
    const bucket = `locked-${++buckets}`;
    await gateway.createBucket(bucket, { objectLock: true });
    return bucket;
  }
  function storeIn(bucket: string, days = DAYS): Promise<S3Store> {
    const location: S3Location = {
      ...{ kind: 's3', bucket, prefix: 'here', region: gateway.region, endpoint: gateway.endpoint },
      forcePathStyle: true,
      credentials: { accessKeyId: { env: 'KEY' }, secretAccessKey: { env: 'SECRET' } },
      objectLock: { mode: 'COMPLIANCE', days },
    };
    return S3Store.open(
      location,
      async (reference) =>
        'env' in reference && reference.env === 'KEY' ? gateway.accessKeyId : gateway.secretAccessKey,
      { retry: ONCE, now: () => new Date(nowMs) },
    );
  }
  const backUp = (store: Store, backup: string, seed: string, tablets = 1) =>
    writeTabletBackup(
      store,
      { plan: PLAN, backup },
      sampleTablets(tablets, seed),
      new Date(nowMs).toISOString(),
    );

  /** In days from the beginning, as the gateway says it; 0 where it is not locked. */
  async function lockedUntil(bucket: string, key: string): Promise<number> {
    try {
      const { Retention } = await client.send(
        new GetObjectRetentionCommand({ Bucket: bucket, Key: `here/${key}` }),
      );
      return ((Retention?.RetainUntilDate?.getTime() ?? 0) - BEGIN_MS) / DAY_MS;
    } catch (error) {
      if (error instanceof Error && error.name === 'NoSuchObjectLockConfiguration') return 0;
      throw error;
    }
  }
  async function keysIn(bucket: string): Promise<readonly string[]> {
    const keys: string[] = [];
    let ContinuationToken: string | undefined;
    do {
      const page = await client.send(new ListObjectsV2Command({ Bucket: bucket, ContinuationToken }));
      for (const { Key = '' } of page.Contents ?? []) keys.push(Key.slice('here/'.length));
      ContinuationToken = page.NextContinuationToken;
    } while (ContinuationToken !== undefined);
    return keys;
  }
  /** Everything without which a backup can't be read: its folder, what it shares, and the repository's own document. */
  async function neededBy(store: Store, bucket: string, backup: string): Promise<readonly string[]> {
    const ref = { plan: PLAN, backup };
    const shared = readSharedObjects(store, await readManifest(store, ref));
    const own = (await keysIn(bucket)).filter((key) => key.startsWith(backupFolder(ref)) && !isWork(key));
    return ['repository.json', ...own, ...(await Array.fromAsync(shared, ({ key }) => key))];
  }

  it('last for the plan’s days over everything that the newest backup needs, what an older one wrote too', async () => {
    const bucket = await newBucket();
    const store = await storeIn(bucket);
    await backUp(store, 'first', 'the same');
    nowMs += 29 * DAY_MS;
    const { manifest } = await backUp(store, 'second', 'the same');
    const ends = await Promise.all(
      (await neededBy(store, bucket, 'second')).map(
        async (key) => [key, await lockedUntil(bucket, key)] as const,
      ),
    );
    expect(ends.length).toBeGreaterThan(3);
    expect(ends.filter(([, until]) => until < 29 + DAYS)).toEqual([]);
    expect(manifest.locks).toEqual({
      until: new Date(BEGIN_MS + (29 + DAYS) * DAY_MS).toISOString(),
      asked: expect.any(Number),
      extended: expect.any(Number),
    });
    expect(manifest.locks?.extended).toBe(manifest.locks?.asked);

    // The next night nothing need be extended.
    nowMs += DAY_MS;
    await expect(backUp(store, 'third', 'the same')).resolves.toMatchObject({
      manifest: { locks: { extended: 0 } },
    });
    await store.close();
  });

  it('are extended by two backups at once, of which the slower one asks for a little less', async () => {
    const bucket = await newBucket();
    const store = await storeIn(bucket);
    await ensureRepository(store);
    const target = { Bucket: bucket, Key: 'here/repository.json' };
    const until = (days: number) => new Date(BEGIN_MS + days * DAY_MS);
    const slower = new S3Client({
      ...{ endpoint: gateway.endpoint, region: gateway.region, forcePathStyle: true },
      credentials: { accessKeyId: gateway.accessKeyId, secretAccessKey: gateway.secretAccessKey },
    });
    slower.middlewareStack.add(
      (next, { commandName }) =>
        async (call) => {
          if (commandName === 'PutObjectRetentionCommand')
            await holdLock(client, target, 'COMPLIANCE', { needed: until(40), target: until(51) }, {});
          return next(call);
        },
      { step: 'initialize' },
    );
    const term = { needed: until(40), target: until(50) };
    await expect(holdLock(slower, target, 'COMPLIANCE', term, {})).resolves.toBe('held');
    await expect(lockedUntil(bucket, 'repository.json')).resolves.toBe(51);
    // One that needs more than there is gets the store's refusal.
    const tooLate = { needed: until(60), target: until(50) };
    await expect(holdLock(client, target, 'COMPLIANCE', tooLate, {})).rejects.toThrow(/lock/i);
    slower.destroy();
    await store.close();
  });

  it('are not extended for what no backup needs', async () => {
    const bucket = await newBucket();
    const store = await storeIn(bucket);
    await backUp(store, 'first', 'the same');
    const garbage = Buffer.from('what an interrupted backup left');
    const sha256 = sha256Hex(garbage);
    await store.put(sharedObjectKey(sha256), garbage, { sha256, ifAbsent: true });
    nowMs += 29 * DAY_MS;
    await backUp(store, 'second', 'the same');
    await expect(lockedUntil(bucket, sharedObjectKey(sha256))).resolves.toBe(DAYS);
    // And what is needed only while a backup is being made is not locked at all.
    const unlocked = [
      'retention/orders/pins/first/0.json',
      'condemned/1.json',
      backupFolder({ plan: 'orders', backup: 'first' }) + workListName(1),
    ];
    for (const key of unlocked) {
      await store.put(key, garbage, { sha256, ifAbsent: true });
      await expect(lockedUntil(bucket, key)).resolves.toBe(0);
    }
    await store.close();
  });

  it('hold the key files of an encrypted repository, and what stands at its top', async () => {
    const bucket = await newBucket();
    const people = await newPeople();
    const store = backupSide(await storeIn(bucket), people);
    expect(store).toBeInstanceOf(EncryptedStore);
    await backUp(store, 'first', 'the same');
    nowMs += 29 * DAY_MS;
    // Another process, with a data key of its own.
    await backUp(backupSide(await storeIn(bucket), people), 'second', 'the same');
    for (const key of await keysIn(bucket)) {
      if (key.startsWith('keys/') || !key.includes('/') || key.startsWith('objects/')) {
        expect([key, (await lockedUntil(bucket, key)) >= 29 + DAYS]).toEqual([key, true]);
      }
    }
  });

  it('say when what can not be deleted yet can be, and break no backup, where the bucket locks by default and keeps no versions', async () => {
    const strict = await startS3Gateway();
    const root = new S3Client({
      ...{ endpoint: strict.endpoint, region: strict.region, forcePathStyle: true },
      credentials: { accessKeyId: strict.accessKeyId, secretAccessKey: strict.secretAccessKey },
    });
    try {
      await root.send(new CreateBucketCommand({ Bucket: 'strict', ObjectLockEnabledForBucket: true }));
      const Rule = { DefaultRetention: { Mode: 'GOVERNANCE', Days: 1 } } as const;
      const ObjectLockConfiguration = { ObjectLockEnabled: 'Enabled', Rule } as const;
      await root.send(new PutObjectLockConfigurationCommand({ Bucket: 'strict', ObjectLockConfiguration }));
      const location: S3Location = {
        ...{ kind: 's3', bucket: 'strict', prefix: 'here', region: strict.region, endpoint: strict.endpoint },
        forcePathStyle: true,
        credentials: { accessKeyId: { env: 'KEY' }, secretAccessKey: { env: 'SECRET' } },
        objectLock: { mode: 'GOVERNANCE', days: DAYS },
      };
      const store = await S3Store.open(
        location,
        async (reference) =>
          'env' in reference && reference.env === 'KEY' ? strict.accessKeyId : strict.secretAccessKey,
        { retry: ONCE },
      );
      await ensureRepository(store);
      // What is there and locked is there: as the store says of a bucket with versions.
      const body = Buffer.from('something else');
      const creating = { sha256: sha256Hex(body), ifAbsent: true };
      await expect(store.put('repository.json', body, creating)).resolves.toBe('exists');
      await store.put('restores/orders/some.json', body, creating);
      const { lockedUntil } = (await store.head('repository.json')) ?? {};
      await expect(store.delete(['repository.json'])).rejects.toMatchObject({
        code: 'STORE_LOCKED',
        transient: false,
        message: expect.stringContaining(lockedUntil?.toISOString() ?? 'no date'),
        remedy: expect.stringContaining('no permission is missing'),
      });
      await expect(store.delete(['restores/orders/some.json'])).rejects.toMatchObject({
        code: 'STORE_LOCKED',
        message: expect.stringContaining('default retention'),
      });
      // A note that can't be deleted is ended all the same.
      await endNotes(store, 'restores/orders/some', ['restores/orders/some.json']);
      await expect(haveEnded(store, ['restores/orders/some'])).resolves.toBe(true);
      await store.close();
    } finally {
      root.destroy();
      await strict.stop();
    }
  });

  it('leave no name unusable whose object was deleted: contents that come back are stored, where the store takes the marker for an object', async () => {
    const raw = await storeIn(await newBucket());
    const body = Buffer.from('what comes back');
    const sha256 = sha256Hex(body);
    const put = { sha256, ifAbsent: true };
    // Not locked, so that it can be deleted.
    const [named, unnamed] = [`snapshots/orders/one/a-${sha256.slice(0, 16)}`, 'snapshots/orders/one/b'];
    for (const key of [named, unnamed]) {
      await expect(raw.put(key, body, put)).resolves.toBe('created');
      await raw.delete([key]);
    }
    // The gap: nothing is there, and the store says that something is.
    await expect(raw.put(unnamed, body, put)).resolves.toBe('exists');
    await expect(raw.head(unnamed)).resolves.toBeUndefined();

    const store = new ClearStore(raw);
    await expect(store.put(named, body, put)).resolves.toBe('created');
    await expect(store.get(named, { expect: { sizeBytes: body.length, sha256 } })).resolves.toBeDefined();
    await expect(store.put(named, body, put)).resolves.toBe('exists');
    await store.close();
  });

  it('hold for 90 days of backups, prunes and reuse, whatever they are', async () => {
    const day = fc.record({
      /** Which of a few contents: so that what lies there comes back. */
      seed: fc.integer({ min: 0, max: 4 }),
      backsUp: fc.integer({ min: 0, max: 3 }).map((chance) => chance === 0),
      sweeps: fc.integer({ min: 0, max: 6 }).map((chance) => chance === 0),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(day, { minLength: 90, maxLength: 90 }), async (days) => {
        nowMs = BEGIN_MS;
        const bucket = await newBucket();
        // What a prune deleted comes back, over markers of deletions too.
        const store = new ClearStore(await storeIn(bucket, 7));
        const alive: { readonly backup: string; readonly untilMs: number }[] = [];
        for (const [number, { seed, backsUp, sweeps }] of days.entries()) {
          nowMs = BEGIN_MS + number * DAY_MS;
          if (backsUp) {
            const backup = `day-${number}`;
            await backUp(store, backup, `content ${seed}`);
            alive.push({ backup, untilMs: nowMs + 7 * DAY_MS });
            for (const key of await neededBy(store, bucket, backup)) {
              if ((await lockedUntil(bucket, key)) < number + 7)
                throw new Error(`${key} of ${backup} is locked too short`);
            }
          }
          if (!sweeps) continue;
          while (alive[0] !== undefined && alive[0].untilMs < nowMs) {
            await deleteBackup(store, { plan: PLAN, backup: alive.shift()?.backup ?? '' });
          }
          await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
          // Whatever is still locked for a backup is still there.
          for (const { backup } of alive) await neededBy(store, bucket, backup);
        }
        await store.close();
      }),
      { numRuns: 1, endOnFailure: true },
    );
  });
});
