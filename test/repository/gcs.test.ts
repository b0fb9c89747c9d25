import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import type { GcsLocation } from '../../model/pipeline.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { type GcsEmulator, startGcsEmulator } from '../../parts/gcs.ts';
import { freePort } from '../../parts/ports.ts';
import { type Proxy as FaultyLink, startToxiproxy, type Toxiproxy } from '../../parts/toxiproxy.ts';
import { GcsStore, type GcsStoreOptions } from '../../repository/gcs/store.ts';
import { proveStore } from '../../repository/probe.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import { itKeepsTheContractOfAStore } from '../contract/store.ts';
import { answer, serverThat } from '../support/raw-server.ts';
import { withScratchFolder } from '../support/scratch.ts';

const BUCKET = 'backups';
const PREFIX = 'some/prefix';
const body = Buffer.from('body');
const creating = { sha256: sha256Hex(body), ifAbsent: true };
const QUICK: GcsStoreOptions = {
  retry: { attempts: 3, baseDelayMs: 1, maxDelayMs: 5 },
  timeouts: { connectMs: 1_000, idleMs: 500 },
};
const noSecret = () => Promise.reject(new Error('no secret was asked for'));

/** What a program prints that opens such stores by `open(location, secret)`: in a Node of its own, since the library imports parts of itself as modules. */
async function inNode(program: string): Promise<string> {
  const text = `
    import { GcsStore } from './repository/gcs/store.ts';
    const open = (change, secret) =>
      GcsStore.open({ kind: 'gcs', bucket: '${BUCKET}', prefix: '', ...change }, async () => secret);
    ${program}`;
  const args = ['--input-type=module', '--eval', text];
  return (await promisify(execFile)(process.execPath, args)).stdout;
}

describe('the store in Google Cloud Storage', () => {
  let emulator: GcsEmulator;
  let store: GcsStore;
  const opened: GcsStore[] = [];

  beforeAll(async () => {
    emulator = await startGcsEmulator();
    await emulator.createBucket(BUCKET);
    store = await open();
  });
  afterAll(async () => {
    for (const each of opened) await each.close();
    await emulator.stop();
  });

  async function open(
    change: Partial<GcsLocation> = {},
    options: GcsStoreOptions = {},
    secret: () => Promise<string> = noSecret,
  ): Promise<GcsStore> {
    const { endpoint } = emulator;
    const location = { kind: 'gcs', bucket: BUCKET, prefix: PREFIX, endpoint, ...change } as const;
    const each = await GcsStore.open(location, secret, options);
    opened.push(each);
    return each;
  }

  /** Writes other bytes under a key, with what the store noted of the right ones. */
  async function overwriteBehind(key: string, bytes: Uint8Array): Promise<void> {
    const { sha256 } = (await store.head(key, { checksum: true })) ?? {};
    const about = JSON.stringify({ name: `${PREFIX}/${key}`, metadata: { sha256 } });
    const head = `--x\r\ncontent-type: application/json\r\n\r\n${about}\r\n--x\r\ncontent-type: text/plain\r\n\r\n`;
    const url = `${emulator.endpoint}/upload/storage/v1/b/${BUCKET}/o?uploadType=multipart`;
    const put = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'multipart/related; boundary=x' },
      body: Buffer.concat([Buffer.from(head), bytes, Buffer.from('\r\n--x--')]),
    });
    expect(put.status).toBe(200);
  }

  describe('keeps the contract and', () => {
    itKeepsTheContractOfAStore(() => ({ store, overwriteBehind }));
  });

  it('is proved good for a repository', async () => {
    await expect(proveStore(store)).resolves.toBeUndefined();
  });

  it('lists more objects than one page holds, and folders too, and deletes them', async () => {
    const keys = Array.from({ length: 1_050 }, (_, index) => `many/${String(index).padStart(4, '0')}/x`);
    for (let start = 0; start < keys.length; start += 50) {
      await Promise.all(keys.slice(start, start + 50).map((key) => store.put(key, body, creating)));
    }
    const listed = await Array.fromAsync(store.list('many/'), ({ key }) => key);
    expect(listed.sort()).toEqual(keys);
    const folders = await Array.fromAsync(store.folders('many/'));
    expect(folders.sort()).toEqual(keys.map((key) => key.slice(5, 9)));
    await store.delete(keys);
    await expect(Array.fromAsync(store.list('many/'))).resolves.toEqual([]);
  });

  it('keeps to its prefix', async () => {
    const other = await open({ prefix: '/some/prefix/inner/' });
    await other.put('object', body, creating);
    expect(other.description).toBe(`gs://${BUCKET}/some/prefix/inner`);
    await expect(store.get('inner/object')).resolves.toEqual(body);
    await expect(Array.fromAsync(other.list(''))).resolves.toMatchObject([{ key: 'object' }]);
    const bare = await open({ prefix: '' });
    await expect(bare.get('some/prefix/inner/object')).resolves.toEqual(body);
  });

  it('sends the MD5 for the service to check, the SHA-256 for it to keep, and the condition', async () => {
    await using server = await serverThat(() => answer(200, '{"name":"x"}', 'application/json'));
    const told = await open({ endpoint: server.endpoint, storageClass: 'NEARLINE' }, QUICK);
    await expect(told.put('object', body, creating)).resolves.toBe('created');
    const [request = ''] = server.requests;
    expect(request).toContain(
      `POST /upload/storage/v1/b/${BUCKET}/o?uploadType=multipart&fields=name&ifGenerationMatch=0 `,
    );
    expect(request).toContain('"md5Hash":"hBotaJrYa9FhFEdFPCLG/A=="');
    expect(request).toContain(`"metadata":{"sha256":"${creating.sha256}"}`);
    expect(request).toContain('"storageClass":"NEARLINE"');
    expect(request).not.toMatch(/authorization/i);
  });

  it('tells a byte flipped at rest even where the reader expects no hash, by the MD5 that the service keeps', async () => {
    const flipped = answer(200, 'bodY').replace(
      '\r\n',
      '\r\nx-goog-hash: crc32c=AAAAAA==,md5=hBotaJrYa9FhFEdFPCLG/A==\r\n',
    );
    await using server = await serverThat(() => flipped);
    const bent = await open({ endpoint: server.endpoint }, QUICK);
    await expect(bent.get('flipped')).rejects.toMatchObject({ code: 'STORE_DAMAGED', transient: false });
    expect(server.connections()).toBe(2);
  });

  it.each([
    ['put', (broken: GcsStore) => broken.put('error', body, creating)],
    ['get', (broken: GcsStore) => broken.get('error')],
    ['head', (broken: GcsStore) => broken.head('error')],
    ['list', (broken: GcsStore) => Array.fromAsync(broken.list(''))],
    ['delete', (broken: GcsStore) => broken.delete(['error'])],
  ])('tells a missing bucket, and TLS where the server has none, on %s', async (_, call) => {
    const missing = await open({ bucket: 'no-such-bucket' }, QUICK);
    await expect(call(missing)).rejects.toMatchObject({ code: 'STORE_NO_BUCKET', transient: false });
    const endpoint = emulator.endpoint.replace('http:', 'https:');
    const key = JSON.stringify({
      type: 'service_account',
      client_email: 'x@example.com',
      private_key: 'hunter2',
    });
    const secure = await open({ endpoint, credentials: { env: 'KEY' } }, QUICK, async () => key);
    const error: unknown = await call(secure).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'STORE_CREDENTIALS', transient: false });
    expect(error).toHaveProperty('message', expect.not.stringContaining('hunter2'));
  });

  it.each([
    [401, 'authError', 'Invalid Credentials', 'STORE_CREDENTIALS', 1],
    [403, 'forbidden', 'does not have storage.objects.list access', 'STORE_DENIED', 1],
    [403, 'rateLimitExceeded', 'slow down', 'STORE_BUSY', 3],
    [429, 'rateLimitExceeded', 'slow down', 'STORE_BUSY', 3],
    [503, 'backendError', 'Backend Error', 'STORE_BUSY', 3],
    [403, 'retentionPolicyNotMet', 'is subject to bucket retention', 'STORE_LOCKED', 1],
    [400, 'invalid', 'Invalid argument.', 'STORE_FAILED', 1],
  ])('%i with %s (%s) is told as %s', async (code, reason, message, expected, tries) => {
    const error = { code, message, errors: [{ message, domain: 'global', reason }] };
    await using server = await serverThat(() => answer(code, JSON.stringify({ error }), 'application/json'));
    const refused = await open({ endpoint: server.endpoint }, QUICK);
    await expect(refused.delete(['object'])).rejects.toMatchObject({ code: expected, transient: tries > 1 });
    expect(server.connections()).toBe(tries);
  });

  it('an MD5 that the service refuses is told as bent on the way, and sent again', async () => {
    const message = "Provided MD5 hash doesn't match calculated MD5 hash.";
    await using server = await serverThat(() =>
      answer(400, JSON.stringify({ error: { code: 400, message } })),
    );
    const refused = await open({ endpoint: server.endpoint }, QUICK);
    const bent = { code: 'STORE_BENT_IN_TRANSIT', transient: true };
    await expect(refused.put('object', body, creating)).rejects.toMatchObject(bent);
    expect(server.connections()).toBe(3);
  });

  it.each([
    ['that nobody answers at', undefined, 'STORE_UNREACHABLE'],
    ['whose page is the last one again', '{"nextPageToken":"x"}', 'STORE_UNSUPPORTED'],
    ['that says nothing of sizes', '{"items":[{"name":"some/prefix/x"}]}', 'STORE_UNSUPPORTED'],
    ['of a proxy that answers by itself', '<html>', 'STORE_UNREACHABLE'],
  ])('a listing %s ends', async (_, page, code) => {
    await using server = await serverThat(() => (page === undefined ? page : answer(200, page)));
    const lying = await open({ endpoint: server.endpoint }, QUICK);
    await expect(Array.fromAsync(lying.list(''))).rejects.toMatchObject({ code });
    const nowhere = await open({ endpoint: `http://127.0.0.1:${await freePort()}` }, QUICK);
    await expect(nowhere.head('x')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', transient: true });
  });

  it('gets a token for the credentials and sends it', async () => {
    await withScratchFolder(async (folder) => {
      const file = path.join(folder, 'subject');
      await writeFile(file, 'subject');
      const token = {
        access_token: 'the-token',
        issued_token_type: 'x',
        token_type: 'Bearer',
        expires_in: 3600,
      };
      await using server = await serverThat((request) =>
        request.startsWith('POST /token')
          ? answer(200, JSON.stringify(token), 'application/json')
          : answer(200, '{"size":"4"}', 'application/json'),
      );
      const pool = {
        type: 'external_account',
        audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q',
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        token_url: `${server.endpoint}/token`,
        credential_source: { file },
      };
      const { endpoint } = server;
      const head = `const store = await open(${JSON.stringify({ endpoint, credentials: { env: 'KEY' } })}, ${JSON.stringify(JSON.stringify(pool))});
        process.stdout.write(JSON.stringify(await store.head('object')));`;
      expect(JSON.parse(await inNode(head))).toEqual({ sizeBytes: 4 });
      expect(server.requests.at(-1)).toMatch(/authorization: Bearer the-token/i);
    });
  });

  it('says how to install the library where it is missing, and needs it not before', async () => {
    const opening = `
      import { registerHooks } from 'node:module';
      registerHooks({ resolve: (name, context, next) => next(name === 'google-auth-library' ? 'not-there' : name, context) });
      const error = await open({}, '{}').catch((thrown) => thrown);
      process.stdout.write(JSON.stringify({ code: error.code, remedy: error.remedy }));`;
    expect(JSON.parse(await inNode(opening))).toMatchObject({
      code: 'STORE_NO_LIBRARY',
      remedy: expect.stringContaining(
        `npm install google-auth-library@${packageJson.peerDependencies['google-auth-library']} `,
      ),
    });
  });

  it('shows nothing of a secret that is no key', async () => {
    const opening = open({ credentials: { env: 'KEY' } }, QUICK, async () => 'hunter2');
    await expect(opening).rejects.toMatchObject({ code: 'STORE_CREDENTIALS', transient: false });
    await expect(opening).rejects.not.toThrow('hunter2');
  });

  describe('through a network that fails', () => {
    let toxiproxy: Toxiproxy;
    let proxy: FaultyLink;
    let far: GcsStore;
    const large = Buffer.alloc(8 * 1024 * 1024, 'through the storm ');
    const largeCreating = { sha256: sha256Hex(large), ifAbsent: true };

    beforeAll(async () => {
      toxiproxy = await startToxiproxy();
      proxy = await toxiproxy.createProxy('gcs', `${emulator.host}:${emulator.port}`);
      const retry = { attempts: 20, baseDelayMs: 20, maxDelayMs: 100 };
      const timeouts = { connectMs: 1_000, idleMs: 700 };
      far = await open({ endpoint: `http://${proxy.host}:${proxy.port}` }, { retry, timeouts });
    });
    afterEach(() => mend());
    afterAll(() => toxiproxy.stop());

    /** Toxiproxy waits for open connections when it removes a fault, so they are cut first. */
    async function mend(): Promise<void> {
      await proxy.down();
      await toxiproxy.reset();
    }

    it('takes a put for done whose answer was lost', async () => {
      await proxy.addToxic({ type: 'timeout', afterMs: 0 });
      const put = far.put('lost-answer', large, largeCreating);
      while ((await store.head('lost-answer')) === undefined)
        await new Promise((resolve) => setTimeout(resolve, 20));
      await mend();
      await expect(put).resolves.toBe('exists');
      await expect(store.get('lost-answer').then(sha256Hex)).resolves.toBe(largeCreating.sha256);
    });

    it('reads a whole object though the first answers break off', async () => {
      await store.put('broken-off', large, largeCreating);
      await proxy.addToxic({ type: 'limit_data', bytes: 100_000 });
      const get = far.get('broken-off');
      setTimeout(() => void mend(), 300);
      await expect(get.then(sha256Hex)).resolves.toBe(largeCreating.sha256);
    });

    it('writes an object though its body is cut on the way, and nothing of the first tries is there', async () => {
      await proxy.addToxic({ type: 'limit_data', bytes: 1_000_000 }, { direction: 'upstream' });
      const put = far.put('cut', large, largeCreating);
      setTimeout(() => void mend(), 300);
      // `exists`, where the answer to the try that succeeded took too long.
      await expect(put).resolves.toMatch(/created|exists/);
      await expect(store.get('cut').then(sha256Hex)).resolves.toBe(largeCreating.sha256);
    });

    it('stops when it is told to', async () => {
      await proxy.addToxic({ type: 'timeout', afterMs: 0 });
      const stop = new AbortController();
      const reason = new Error('the worker shuts down');
      setTimeout(() => stop.abort(reason), 50);
      await expect(far.get('cut', { signal: stop.signal })).rejects.toBe(reason);
    });
  });
});
