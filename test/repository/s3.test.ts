import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import type { S3Location } from '../../model/pipeline.ts';
import { freePort } from '../../parts/ports.ts';
import { type S3Gateway, startS3Gateway } from '../../parts/s3.ts';
import { type Proxy as FaultyLink, startToxiproxy, type Toxiproxy } from '../../parts/toxiproxy.ts';
import { S3Store, type S3StoreOptions } from '../../repository/s3/store.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import { itKeepsTheContractOfAStore } from '../contract/store.ts';
import { answer, serverThat } from '../support/raw-server.ts';

const BUCKET = 'backups';
const PREFIX = 'some/prefix';
const body = Buffer.from('body');
const creating = { sha256: sha256Hex(body), ifAbsent: true };
const ONCE: S3StoreOptions = { retry: { attempts: 1, baseDelayMs: 1, maxDelayMs: 1 } };

/** Pages of listings that say that they go on. @param from where; absent: they don't say */
const listPage = (from?: string) => listing('ListBucketResult', 'NextContinuationToken', from);
const versionPage = (from?: string) => listing('ListVersionsResult', 'NextKeyMarker', from);
const uploadPage = (from?: string) => listing('ListMultipartUploadsResult', 'NextKeyMarker', from);

function listing(root: string, marker: string, from: string | undefined): string {
  const next = from === undefined ? '' : `<${marker}>${from}</${marker}>`;
  return `<${root}><IsTruncated>true</IsTruncated>${next}</${root}>`;
}

type Look = (store: S3Store, signal: AbortSignal) => Promise<unknown>;
const list: Look = (store, signal) => Array.fromAsync(store.list('', { signal }));
const lost: Look = (store, signal) => Array.fromAsync(store.versions.lostSince(new Date(), { signal }));
const discard: Look = (store, signal) => store.discardUnfinished({ olderThanMs: 0, signal });

describe('the S3 store', () => {
  let gateway: S3Gateway;
  let store: S3Store;
  const opened: S3Store[] = [];

  beforeAll(async () => {
    gateway = await startS3Gateway();
    await gateway.createBucket(BUCKET);
    store = await open();
  });
  afterAll(async () => {
    for (const each of opened) await each.close();
    await gateway.stop();
  });

  async function open(
    change: Partial<S3Location> = {},
    options: S3StoreOptions = {},
    secret: (name: string) => string = (name) =>
      name === 'KEY' ? gateway.accessKeyId : gateway.secretAccessKey,
  ): Promise<S3Store> {
    const location: S3Location = {
      kind: 's3',
      bucket: BUCKET,
      prefix: PREFIX,
      region: gateway.region,
      endpoint: gateway.endpoint,
      credentials: { accessKeyId: { env: 'KEY' }, secretAccessKey: { env: 'SECRET' } },
      ...change,
    };
    const each = await S3Store.open(
      location,
      async (reference) => secret('env' in reference ? reference.env : reference.file),
      options,
    );
    opened.push(each);
    return each;
  }

  function client(): S3Client {
    return new S3Client({
      endpoint: gateway.endpoint,
      region: gateway.region,
      forcePathStyle: true,
      credentials: { accessKeyId: gateway.accessKeyId, secretAccessKey: gateway.secretAccessKey },
    });
  }

  /** Where the gateway keeps an object's bytes. */
  const fileOf = (key: string) => path.join(gateway.directory, BUCKET, PREFIX, key);

  describe('keeps the contract and', () => {
    itKeepsTheContractOfAStore(() => ({
      store,
      overwriteBehind: (key, bytes) => writeFile(fileOf(key), bytes),
    }));
  });

  it('lists more objects than one page holds, and deletes more than one request takes', async () => {
    const keys = Array.from({ length: 1_050 }, (_, index) => `many/${String(index).padStart(4, '0')}`);
    for (let start = 0; start < keys.length; start += 50) {
      await Promise.all(keys.slice(start, start + 50).map((key) => store.put(key, body, creating)));
    }
    const listed = await Array.fromAsync(store.list('many/'), ({ key }) => key);
    expect(listed.sort()).toEqual(keys);
    await store.delete(keys);
    await expect(Array.fromAsync(store.list('many/'))).resolves.toEqual([]);
  });

  it('tells a byte flipped at rest even where the reader expects no hash, by the checksum that S3 keeps', async () => {
    await store.put('flipped', body, creating);
    await writeFile(fileOf('flipped'), 'bodY');
    await expect(store.get('flipped')).rejects.toMatchObject({ code: 'STORE_DAMAGED', transient: false });
  });

  it('leaves out the markers of folders that browsers and mounts put there: no key can name them', async () => {
    await store.put('marked/plan/object', body, creating);
    const s3 = client();
    try {
      for (const marker of ['marked/', 'marked/plan/', 'marked/plan/empty/']) {
        await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: `${PREFIX}/${marker}`, Body: '' }));
      }
    } finally {
      s3.destroy();
    }
    const keys = await Array.fromAsync(store.list('marked/'), ({ key }) => key);
    expect(keys).toEqual(['marked/plan/object']);
    await store.delete(keys);
  });

  it('keeps to its prefix', async () => {
    const other = await open({ prefix: '/some/prefix/inner/' });
    await other.put('object', body, creating);
    expect(other.description).toBe(`s3://${BUCKET}/some/prefix/inner`);
    await expect(store.get('inner/object')).resolves.toEqual(body);
    await expect(Array.fromAsync(other.list(''))).resolves.toMatchObject([{ key: 'object' }]);
    const bare = await open({ prefix: '' });
    await expect(bare.get('some/prefix/inner/object')).resolves.toEqual(body);
  });

  describe('sends an object that is larger than a part in parts', () => {
    const large = Buffer.alloc(11 * 1024 * 1024, 'large ');
    const largeCreating = { sha256: sha256Hex(large), ifAbsent: true };

    it('and it is one object, written under the same condition', async () => {
      const parted = await open({}, { partBytes: 5 * 1024 * 1024 });
      await expect(parted.put('parted', large, largeCreating)).resolves.toBe('created');
      await expect(parted.put('parted', large, largeCreating)).resolves.toBe('exists');
      const expected = { sizeBytes: large.length, sha256: largeCreating.sha256 };
      await expect(parted.get('parted', { expect: expected }).then(sha256Hex)).resolves.toBe(expected.sha256);
      // S3 keeps a checksum of the parts' checksums, which says nothing about the whole.
      await expect(parted.head('parted', { checksum: true })).resolves.toEqual({ sizeBytes: large.length });
      await expect(parted.discardUnfinished({ olderThanMs: -60_000 })).resolves.toBe(0);
    });

    it('and discards the parts of an upload that was never completed, once they are old', async () => {
      const sdk = client();
      const target = { Bucket: BUCKET, Key: `${PREFIX}/abandoned` };
      await sdk.send(new CreateMultipartUploadCommand(target));
      const foreign = { Bucket: BUCKET, Key: 'elsewhere/abandoned' };
      const { UploadId } = await sdk.send(new CreateMultipartUploadCommand(foreign));
      await expect(store.discardUnfinished({ olderThanMs: 3_600_000 })).resolves.toBe(0);
      await expect(store.discardUnfinished({ olderThanMs: -60_000 })).resolves.toBe(1);
      await expect(store.discardUnfinished({ olderThanMs: -60_000 })).resolves.toBe(0);
      // What lies outside of the prefix is somebody else's, and still there to be aborted.
      await sdk.send(new AbortMultipartUploadCommand({ ...foreign, UploadId }));
      sdk.destroy();
    });
  });

  describe('tells at once, and in words, what a retry does not mend', () => {
    const calls: readonly [string, (broken: S3Store) => Promise<unknown>][] = [
      ['put', (broken) => broken.put('error', body, creating)],
      ['get', (broken) => broken.get('error')],
      ['head', (broken) => broken.head('error')],
      ['list', (broken) => Array.fromAsync(broken.list(''))],
      ['delete', (broken) => broken.delete(['error'])],
    ];

    const causes: readonly [string, string, () => Promise<S3Store>][] = [
      ['a missing bucket', 'STORE_NO_BUCKET', () => open({ bucket: 'no-such-bucket' })],
      [
        'a wrong secret',
        'STORE_CREDENTIALS',
        () => open({}, {}, (name) => (name === 'KEY' ? gateway.accessKeyId : 'hunter2')),
      ],
      ['an unknown access key', 'STORE_CREDENTIALS', () => open({}, {}, () => 'hunter2')],
      ['a wrong region', 'STORE_WRONG_REGION', () => open({ region: 'eu-north-1' })],
      [
        'TLS where the server has none',
        'STORE_TLS',
        () => open({ endpoint: gateway.endpoint.replace('http:', 'https:') }),
      ],
    ];

    for (const [cause, code, openBroken] of causes) {
      it.each(calls)(`${cause}, on %s`, async (_, call) => {
        const error: unknown = await call(await openBroken()).catch((thrown: unknown) => thrown);
        expect(error).toMatchObject({ code, transient: false, remedy: expect.stringMatching(/\w.*\.$/) });
        expect(error).toHaveProperty('message', expect.stringContaining('s3://'));
        expect(error).toHaveProperty('message', expect.not.stringContaining('hunter2'));
      });
    }

    it('a wrong secret, though the body is so large that the server hangs up before it has come', async () => {
      const broken = await open({}, ONCE, (name) => (name === 'KEY' ? gateway.accessKeyId : 'hunter2'));
      const large = Buffer.alloc(16 * 1024 * 1024);
      const put = broken.put('error', large, { sha256: sha256Hex(large), ifAbsent: true });
      await expect(put).rejects.toMatchObject({ code: 'STORE_CREDENTIALS', transient: false });
    });

    it('a storage class that S3 does not know', async () => {
      await expect(open({ storageClass: 'COLDER' })).rejects.toMatchObject({ code: 'STORE_BAD_OPTION' });
    });
  });

  describe('tries again what passes, and else says that it may', () => {
    const quick: S3StoreOptions = {
      retry: { attempts: 3, baseDelayMs: 1, maxDelayMs: 5 },
      timeouts: { connectMs: 1_000, idleMs: 500 },
    };

    it('an endpoint where nobody listens', async () => {
      const lost = await open({ endpoint: `http://127.0.0.1:${await freePort()}` }, quick);
      await expect(lost.put('error', body, creating)).rejects.toMatchObject({
        code: 'STORE_UNREACHABLE',
        transient: true,
        message: expect.stringContaining('ECONNREFUSED'),
      });
      await expect(lost.head('error')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', transient: true });
    });

    it('a server that takes the connection and never answers, without waiting for ever', async () => {
      await using silent = await serverThat(() => undefined);
      const stalled = await open({ endpoint: silent.endpoint }, quick);
      await expect(stalled.get('error')).rejects.toMatchObject({
        code: 'STORE_UNREACHABLE',
        transient: true,
      });
      expect(silent.connections()).toBe(3);
    });

    it('503 Slow Down, up to the last try', async () => {
      await using busy = await serverThat(() => answer(503, '<Error><Code>SlowDown</Code></Error>'));
      const slowed = await open({ endpoint: busy.endpoint }, quick);
      await expect(slowed.list('').next()).rejects.toMatchObject({ code: 'STORE_BUSY', transient: true });
      expect(busy.connections()).toBe(3);
    });

    it('403 with a clock that is wrong is told, not tried again', async () => {
      await using skewed = await serverThat(() =>
        answer(403, '<Error><Code>RequestTimeTooSkewed</Code></Error>'),
      );
      const wrong = await open({ endpoint: skewed.endpoint }, quick);
      await expect(wrong.list('').next()).rejects.toMatchObject({
        code: 'STORE_CLOCK_SKEW',
        transient: false,
      });
      expect(skewed.connections()).toBe(1);
    });

    it.each([
      ['objects that is at one place twice', list, [listPage('x'), listPage('x')]],
      ['objects that breaks off at its first page', list, [listPage()]],
      ['objects that breaks off later', list, [listPage('x'), listPage()]],
      ['versions that breaks off', lost, [versionPage()]],
      ['versions that is at one place twice', lost, [versionPage('x'), versionPage('x')]],
      ['uploads that breaks off', discard, [uploadPage()]],
      ['uploads that is at one place twice', discard, [uploadPage('x'), uploadPage('x')]],
    ] as const)(
      'a listing of %s is not taken for the whole one, nor followed for ever',
      async (_, look, pages) => {
        let page = 0;
        await using lying = await serverThat(() => answer(200, pages[page++ % pages.length] ?? ''));
        const liar = await open({ endpoint: lying.endpoint }, quick);
        await expect(look(liar, AbortSignal.timeout(3_000))).rejects.toMatchObject({
          code: 'STORE_UNSUPPORTED',
          transient: false,
          message: expect.stringContaining('never end'),
        });
      },
    );

    it.each([
      ['QuotaExceeded', 'STORE_FULL'],
      ['AccessDenied', 'STORE_DENIED'],
      ['NotImplemented', 'STORE_UNSUPPORTED'],
      ['PermanentRedirect', 'STORE_WRONG_REGION'],
    ])('%s is told as %s', async (name, code) => {
      const status = name === 'NotImplemented' ? 501 : name === 'PermanentRedirect' ? 301 : 403;
      await using refusing = await serverThat(() => answer(status, `<Error><Code>${name}</Code></Error>`));
      const refused = await open({ endpoint: refusing.endpoint }, quick);
      await expect(refused.list('').next()).rejects.toMatchObject({ code, transient: false });
    });
  });

  describe('through a network that fails', () => {
    let toxiproxy: Toxiproxy;
    let proxy: FaultyLink;
    let far: S3Store;
    const large = Buffer.alloc(8 * 1024 * 1024, 'through the storm ');
    const largeCreating = { sha256: sha256Hex(large), ifAbsent: true };
    const patient: S3StoreOptions = {
      retry: { attempts: 20, baseDelayMs: 20, maxDelayMs: 100 },
      timeouts: { connectMs: 1_000, idleMs: 700 },
    };

    beforeAll(async () => {
      toxiproxy = await startToxiproxy();
      proxy = await toxiproxy.createProxy('s3', `${gateway.host}:${gateway.port}`);
      far = await open({ endpoint: `http://${proxy.host}:${proxy.port}` }, patient);
    });
    afterEach(() => mend());
    afterAll(() => toxiproxy.stop());

    it('takes a put for done whose answer was lost', async () => {
      await proxy.addToxic({ type: 'timeout', afterMs: 0 });
      const put = far.put('lost-answer', large, largeCreating);
      // The body has gone up, and of the answer nothing comes back.
      await fileIs('lost-answer', large);
      await mend();
      await expect(put).resolves.toBe('exists');
      await fileIs('lost-answer', large);
    });

    it('reads a whole object though the first answers break off', async () => {
      await store.put('broken-off', large, largeCreating);
      await proxy.addToxic({ type: 'limit_data', bytes: 100_000 });
      const get = far.get('broken-off');
      await sleep(60);
      await mend();
      await expect(get.then(sha256Hex)).resolves.toBe(largeCreating.sha256);
    });

    it('goes on when the store comes back', async () => {
      await proxy.down();
      const put = far.put('came-back', body, creating);
      await sleep(60);
      await proxy.up();
      await expect(put).resolves.toBe('created');
    });

    /** Toxiproxy waits for open connections when it removes a fault, so they are cut first. */
    async function mend(): Promise<void> {
      await proxy.down();
      await toxiproxy.reset();
    }

    async function fileIs(key: string, bytes: Buffer): Promise<void> {
      for (;;) {
        const found = await readFile(fileOf(key)).catch(() => Buffer.alloc(0));
        if (found.equals(bytes)) return;
        await sleep(20);
      }
    }
  });
});
