import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { checkRepository } from '../../engines/repository-checks.ts';
import type { AzureLocation } from '../../model/pipeline.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { type AzureEmulator, startAzureEmulator } from '../../parts/azure.ts';
import { freePort } from '../../parts/ports.ts';
import { type Proxy as FaultyLink, startToxiproxy, type Toxiproxy } from '../../parts/toxiproxy.ts';
import { AzureStore, type AzureStoreOptions } from '../../repository/azure/store.ts';
import { proveStore } from '../../repository/probe.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import { itKeepsTheContractOfAStore } from '../contract/store.ts';
import { answer, serverThat } from '../support/raw-server.ts';

const CONTAINER = 'backups';
const PREFIX = 'some/prefix';
const MIB = 1024 * 1024;
const body = Buffer.from('body');
const creating = { sha256: sha256Hex(body), ifAbsent: true };
const QUICK: AzureStoreOptions = {
  retry: { attempts: 3, baseDelayMs: 1, maxDelayMs: 5 },
  timeouts: { connectMs: 1_000, idleMs: 500 },
};
const KEY = { credentials: { accountKey: { env: 'KEY' } } } as const;
const SAS = { credentials: { sasToken: { env: 'SAS' } } } as const;

/** What a program prints that opens such a store without credentials by `open(location)`: in a Node of its own, where `@azure/identity` is what `module` says. */
async function inNode(module: string, program: string): Promise<string> {
  const text = `
    import { registerHooks } from 'node:module';
    import { AzureStore } from './repository/azure/store.ts';
    registerHooks({
      resolve: (name, context, next) => name === '@azure/identity' ? next(${JSON.stringify(module)}, context) : next(name, context),
    });
    const open = (change) =>
      AzureStore.open({ kind: 'azure', account: 'holdfast', container: '${CONTAINER}', prefix: '', ...change }, async () => '');
    ${program}`;
  const args = ['--input-type=module', '--eval', text];
  return (await promisify(execFile)(process.execPath, args)).stdout;
}

describe('the store in Azure Blob Storage', () => {
  let emulator: AzureEmulator;
  let store: AzureStore;
  const opened: AzureStore[] = [];

  beforeAll(async () => {
    emulator = await startAzureEmulator();
    await emulator.createContainer(CONTAINER);
    store = await open();
  });
  afterAll(async () => {
    for (const each of opened) await each.close();
    await emulator.stop();
  });

  async function open(
    change: Partial<AzureLocation> = {},
    options: AzureStoreOptions = {},
    secret = emulator.accountKey,
  ): Promise<AzureStore> {
    const { account, endpoint } = emulator;
    const usual = { kind: 'azure', account, container: CONTAINER, prefix: PREFIX, endpoint, ...KEY } as const;
    const each = await AzureStore.open({ ...usual, ...change }, async () => secret, options);
    opened.push(each);
    return each;
  }

  /** A call behind the store's back. */
  async function put(
    key: string,
    query: string,
    headers: Record<string, string>,
    bytes: Uint8Array,
  ): Promise<void> {
    const name = `${PREFIX}/${key}`.split('/').map(encodeURIComponent).join('/');
    const url = `${emulator.endpoint}/${CONTAINER}/${name}?${query}${emulator.sasToken('rwdlc')}`;
    const made = await fetch(url, { method: 'PUT', headers, body: Buffer.from(bytes) });
    expect([made.status, await made.text()]).toEqual([201, '']);
  }

  /** Writes other bytes under a key, with what the store noted of the right ones. */
  async function overwriteBehind(key: string, bytes: Uint8Array): Promise<void> {
    const { sha256 = '' } = (await store.head(key, { checksum: true })) ?? {};
    await put(key, '', { 'x-ms-blob-type': 'BlockBlob', 'x-ms-meta-sha256': sha256 }, bytes);
  }

  describe('keeps the contract and', () => {
    itKeepsTheContractOfAStore(() => ({ store, overwriteBehind }));
  });

  describe('keeps the contract in blocks of 5 bytes, by a shared access signature, and', () => {
    let inBlocks: AzureStore;
    beforeAll(async () => {
      inBlocks = await open({ ...SAS, prefix: 'blocks' }, { blockBytes: 5 }, `?${emulator.sasToken('rwdl')}`);
    });
    it('is proved good for a repository', async () => {
      await expect(proveStore(inBlocks)).resolves.toBeUndefined();
    });
    it('lets exactly one of many writers at once create an object, and mixes none of their blocks', async () => {
      const bodies = Array.from({ length: 12 }, (_, writer) => Buffer.from(`writer ${writer} of twelve`));
      const outcomes = await Promise.all(
        bodies.map((each) => inBlocks.put('contended', each, { sha256: sha256Hex(each), ifAbsent: true })),
      );
      expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1);
      await expect(inBlocks.get('contended')).resolves.toEqual(bodies[outcomes.indexOf('created')]);
    });
    it('has one of many writers at once replace an object whole', async () => {
      const bodies = Array.from({ length: 12 }, (_, writer) => Buffer.from(`writer ${writer} replaces it`));
      await Promise.all(
        bodies.map((each) => inBlocks.put('replaced', each, { sha256: sha256Hex(each), ifAbsent: false })),
      );
      const left = await inBlocks.get('replaced');
      expect(bodies.map(String)).toContain(String(left));
      const sha256 = sha256Hex(left);
      await expect(inBlocks.head('replaced', { checksum: true })).resolves.toMatchObject({ sha256 });
    });
  });

  describe('sends an object that is larger than a block in blocks', () => {
    const large = Buffer.alloc(3.5 * MIB, 'large ');
    const largeCreating = { sha256: sha256Hex(large), ifAbsent: true };

    it('and it is one object, written under the same condition, with the checksum of the whole', async () => {
      const parts = await open({}, { blockBytes: MIB });
      await expect(parts.put('blocks/one', large, largeCreating)).resolves.toBe('created');
      const again = parts.put('blocks/one', Buffer.alloc(2 * MIB), {
        sha256: sha256Hex(Buffer.alloc(2 * MIB)),
        ifAbsent: true,
      });
      await expect(again).resolves.toBe('exists');
      await expect(store.get('blocks/one').then(sha256Hex)).resolves.toBe(largeCreating.sha256);
      await overwriteBehind('blocks/one', Buffer.from('other'));
      const expect_ = { sizeBytes: large.length, sha256: largeCreating.sha256 };
      await expect(store.get('blocks/one', { expect: expect_ })).rejects.toMatchObject({
        code: 'STORE_DAMAGED',
      });
    });

    it('and blocks that a crash left behind are no object, and harm no later one', async () => {
      const blockid = encodeURIComponent(Buffer.from('x'.repeat(43)).toString('base64'));
      await put('blocks/left', `comp=block&blockid=${blockid}&`, {}, body);
      await expect(store.head('blocks/left')).resolves.toBeUndefined();
      await expect(Array.fromAsync(store.list('blocks/left'))).resolves.toEqual([]);
      await expect(store.get('blocks/left')).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
      const parts = await open({}, { blockBytes: MIB });
      await expect(parts.put('blocks/left', large, largeCreating)).resolves.toBe('created');
      await expect(store.get('blocks/left').then(sha256Hex)).resolves.toBe(largeCreating.sha256);
    });
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
    expect(other.description).toBe(`azure://holdfast/${CONTAINER}/some/prefix/inner`);
    await expect(store.get('inner/object')).resolves.toEqual(body);
    await expect(Array.fromAsync(other.list(''))).resolves.toMatchObject([{ key: 'object' }]);
    const bare = await open({ prefix: '' });
    await expect(bare.get('some/prefix/inner/object')).resolves.toEqual(body);
  });

  it('sends the MD5 for the service to check, the SHA-256 for it to keep, and the condition', async () => {
    await using server = await serverThat(() => answer(201, ''));
    const told = await open({ endpoint: server.endpoint, accessTier: 'Cool' }, QUICK);
    await expect(told.put('object', body, creating)).resolves.toBe('created');
    const [request = ''] = server.requests;
    expect(request).toMatch(new RegExp(`^PUT /${CONTAINER}/some/prefix/object HTTP`));
    for (const header of [
      'content-md5: hBotaJrYa9FhFEdFPCLG/A==',
      `x-ms-meta-sha256: ${creating.sha256}`,
      'x-ms-access-tier: Cool',
      'if-none-match: *',
    ])
      expect(request).toContain(`\r\n${header}\r\n`);
    expect(request).toMatch(/\r\nauthorization: SharedKey holdfast:[A-Za-z0-9+/]{43}=\r\n/);
    expect(request).not.toContain(emulator.accountKey);
  });

  it('has bytes refused that changed on the way, and sends them again', async () => {
    const [lost, bent] = [await open({}, QUICK), { code: 'STORE_BENT_IN_TRANSIT', transient: true }];
    const message = '<Error><Code>Md5Mismatch</Code><Message>The MD5 value is wrong.</Message></Error>';
    await using server = await serverThat(() => answer(400, message));
    for (const blockBytes of [1, 100]) {
      const before = server.connections();
      const refused = await open({ endpoint: server.endpoint }, { ...QUICK, blockBytes });
      await expect(refused.put('object', body, creating)).rejects.toMatchObject(bent);
      expect(server.connections() - before).toBeGreaterThanOrEqual(3);
    }
    await expect(lost.head('object')).resolves.toBeUndefined();
  });

  it('tells a byte flipped at rest even where the reader expects no hash, by the MD5 that the service keeps', async () => {
    const flipped = answer(200, 'bodY').replace('\r\n', '\r\nContent-MD5: hBotaJrYa9FhFEdFPCLG/A==\r\n');
    await using server = await serverThat(() => flipped);
    const bent = await open({ endpoint: server.endpoint }, QUICK);
    await expect(bent.get('flipped')).rejects.toMatchObject({ code: 'STORE_DAMAGED', transient: false });
    expect(server.connections()).toBe(2);
  });

  const CALLS = [
    ['put', (broken: AzureStore) => broken.put('error', body, creating)],
    ['get', (broken: AzureStore) => broken.get('error')],
    ['head', (broken: AzureStore) => broken.head('error')],
    ['list', (broken: AzureStore) => Array.fromAsync(broken.list(''))],
    ['delete', (broken: AzureStore) => broken.delete(['error'])],
  ] as const;

  it.each(CALLS)(
    'tells a missing container, a wrong key, and TLS where the server has none, on %s',
    async (called, call) => {
      const missing = await open({ container: 'no-such-container' }, QUICK);
      await expect(call(missing)).rejects.toMatchObject({ code: 'STORE_NO_BUCKET', transient: false });
      const wrong = await open({}, QUICK, Buffer.alloc(64, 'hunter2').toString('base64'));
      const error: unknown = await call(wrong).catch((thrown: unknown) => thrown);
      // An answer to HEAD has no words, and Azurite's code is the one of a missing right.
      const code = called === 'head' ? 'STORE_DENIED' : 'STORE_CREDENTIALS';
      expect(error).toMatchObject({ code, transient: false });
      const secure = await open({ endpoint: emulator.endpoint.replace('http:', 'https:') }, QUICK);
      await expect(call(secure)).rejects.toMatchObject({ code: 'STORE_TLS', transient: false });
    },
  );

  it('tells a signature that lacks a right, and writes with one that can’t delete', async () => {
    const writing = await open(SAS, QUICK, emulator.sasToken('rwl'));
    await expect(writing.put('undeleted', body, creating)).resolves.toBe('created');
    await expect(writing.put('undeleted', body, { ...creating, ifAbsent: false })).resolves.toBe('created');
    const denied = { code: 'STORE_DENIED', transient: false };
    await expect(writing.delete(['undeleted'])).rejects.toMatchObject(denied);
    await expect(store.get('undeleted')).resolves.toEqual(body);
    const reading = await open(SAS, QUICK, emulator.sasToken('rl'));
    await expect(reading.put('unwritten', body, creating)).rejects.toMatchObject(denied);
  });

  it.each([
    ['can’t delete', 'rwl', true],
    ['can', 'rwdl', false],
  ])(
    'doctor looks at credentials of backups and of prunes: the former %s',
    async (_, permissions, isGood) => {
      const { account, endpoint } = emulator;
      process.env.AZURE_SAS = emulator.sasToken(permissions);
      process.env.AZURE_PRUNE_SAS = emulator.sasToken('rwdl');
      const location = {
        ...({ kind: 'azure', account, container: CONTAINER, prefix: permissions, endpoint } as const),
        credentials: { sasToken: { env: 'AZURE_SAS' } },
        pruneCredentials: { sasToken: { env: 'AZURE_PRUNE_SAS' } },
      };
      const checks = await checkRepository({ name: 'main', location });
      const found = Object.fromEntries(checks.map(({ name, ok }) => [name, ok]));
      expect(found).toMatchObject({
        'repository takes and gives back an object': true,
        'its credentials can’t delete': isGood,
        'its pruneCredentials delete': true,
      });
    },
  );

  it.each([
    [401, 'NoAuthenticationInformation', 'Authenticate', 'STORE_CREDENTIALS', 1],
    [403, 'AuthenticationFailed', 'Make sure the signature is formed correctly.', 'STORE_CREDENTIALS', 1],
    [403, 'AuthenticationFailed', 'Signature not valid in the specified time frame', 'STORE_CLOCK_SKEW', 1],
    [403, 'AuthorizationPermissionMismatch', 'not authorized', 'STORE_DENIED', 1],
    [403, 'AuthorizationFailure', 'not authorized', 'STORE_DENIED', 1],
    [404, 'ContainerNotFound', 'does not exist', 'STORE_NO_BUCKET', 1],
    [409, 'BlobImmutableDueToPolicy', 'immutable', 'STORE_LOCKED', 1],
    [429, 'TooManyRequests', 'slow down', 'STORE_BUSY', 3],
    [503, 'ServerBusy', 'slow down', 'STORE_BUSY', 3],
    [500, 'OperationTimedOut', 'slow', 'STORE_BUSY', 3],
    [400, 'InvalidBlockList', 'The specified block list is invalid.', 'STORE_BUSY', 3],
    [400, 'InvalidHeaderValue', 'no such tier', 'STORE_FAILED', 1],
  ])('%i with %s (%s) is told as %s', async (status, code, message, expected, tries) => {
    const error = `<Error><Code>${code}</Code><Message>${message}\nRequestId:1</Message></Error>`;
    await using server = await serverThat(() => answer(status, error));
    const refused = await open({ endpoint: server.endpoint }, QUICK);
    const told = { code: expected, transient: tries > 1, message: expect.not.stringContaining('RequestId') };
    await expect(refused.delete(['object'])).rejects.toMatchObject(told);
    expect(server.connections()).toBe(tries);
  });

  it.each([
    [409, 'BlobAlreadyExists'],
    [412, 'ConditionNotMet'],
    [403, 'UnauthorizedBlobOverwrite'],
    [409, 'BlobImmutableDueToPolicy'],
  ])('%i with %s says that what shall be created is there, and no more', async (status, code) => {
    await using server = await serverThat(() => answer(status, `<Error><Code>${code}</Code></Error>`));
    const there = await open({ endpoint: server.endpoint }, QUICK);
    await expect(there.put('object', body, creating)).resolves.toBe('exists');
    await expect(there.put('object', body, { ...creating, ifAbsent: false })).rejects.toMatchObject({
      transient: false,
    });
  });

  it('deletes an object of which somebody took a snapshot', async () => {
    await store.put('snapped', body, creating);
    await put('snapped', 'comp=snapshot&', {}, Buffer.alloc(0));
    await store.delete(['snapped']);
    await expect(store.head('snapped')).resolves.toBeUndefined();
  });

  const listing = (inside: string) => `<EnumerationResults>${inside}</EnumerationResults>`;
  it.each([
    ['that nobody answers at', undefined, 'STORE_UNREACHABLE'],
    ['whose page is the last one again', listing('<NextMarker>x</NextMarker>'), 'STORE_UNSUPPORTED'],
    ['that says nothing of sizes', listing('<Blob><Name>some/prefix/x</Name></Blob>'), 'STORE_UNSUPPORTED'],
    ['that is cut', '<EnumerationResults><Blobs>', 'STORE_UNREACHABLE'],
    ['of a proxy that answers by itself', '<html></html>', 'STORE_UNREACHABLE'],
  ])('a listing %s ends', async (_, page, code) => {
    await using server = await serverThat(() => (page === undefined ? page : answer(200, page)));
    const lying = await open({ endpoint: server.endpoint }, QUICK);
    await expect(Array.fromAsync(lying.list(''))).rejects.toMatchObject({ code });
    const nowhere = await open({ endpoint: `http://127.0.0.1:${await freePort()}` }, QUICK);
    await expect(nowhere.head('x')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', transient: true });
  });

  it('reads names that XML escapes or can’t hold', async () => {
    const blob = (name: string) =>
      `<Blob>${name}<Properties><Last-Modified>Wed, 09 Sep 2026 09:20:02 GMT</Last-Modified><Content-Length>4</Content-Length></Properties></Blob>`;
    const page = `<Blobs>${blob('<Name>some/prefix/a&amp;b&#x20;c</Name>')}${blob('<Name Encoded="true">some%2Fprefix%2F%EF%BF%BE</Name>')}</Blobs><NextMarker />`;
    await using server = await serverThat(() => answer(200, listing(page)));
    const named = await open({ endpoint: server.endpoint }, QUICK);
    const listed = await Array.fromAsync(named.list(''));
    expect(listed).toMatchObject([{ key: 'a&b c', sizeBytes: 4 }, { key: '\ufffe' }]);
  });

  it('has a token made for the identity of the machine, once for many calls, and sends it', async () => {
    await using server = await serverThat(() => answer(201, ''));
    const identity = `data:text/javascript,export class DefaultAzureCredential {
      asked = 0;
      async getToken(scope) { return { token: scope + '.' + ++this.asked, expiresOnTimestamp: Date.now() + 3600000 }; } }`;
    await inNode(
      identity,
      `const store = await open({ endpoint: '${server.endpoint}' });
      const put = (key) => store.put(key, Buffer.from('body'), ${JSON.stringify(creating)});
      await Promise.all([put('a'), put('b')]);
      await put('c');`,
    );
    expect(server.requests).toHaveLength(3);
    for (const request of server.requests)
      expect(request).toMatch(/authorization: Bearer https:\/\/storage.azure.com\/.default.1\r\n/);
  });

  it.each([
    ['CredentialUnavailableError', {}, 'STORE_NO_CREDENTIALS', false],
    ['AggregateAuthenticationError', {}, 'STORE_NO_CREDENTIALS', false],
    ['AuthenticationError', { statusCode: 401 }, 'STORE_CREDENTIALS', false],
    ['AuthenticationError', { statusCode: 503 }, 'STORE_BUSY', true],
  ])('tells %s of a machine’s identity (%j) as %s', async (name, more, code, transient) => {
    const thrown = JSON.stringify({ name, ...more });
    const identity = `data:text/javascript,export class DefaultAzureCredential {
      async getToken() { throw Object.assign(new Error('no identity'), ${encodeURIComponent(thrown)}); } }`;
    const told = await inNode(
      identity,
      `const error = await (await open({})).head('x').catch((thrown) => thrown);
      process.stdout.write(JSON.stringify({ code: error.code, transient: error.transient }));`,
    );
    expect(JSON.parse(told)).toEqual({ code, transient });
  });

  it('says how to install the library of identities where it is missing, and needs it for nothing else', async () => {
    const told = await inNode(
      'not-there',
      `const error = await open({}).catch((thrown) => thrown);
      await open({ credentials: { sasToken: {} } }).catch((thrown) => { if (thrown.code !== 'STORE_CREDENTIALS') throw thrown; });
      process.stdout.write(JSON.stringify({ code: error.code, remedy: error.remedy }));`,
    );
    const version = packageJson.peerDependencies['@azure/identity'];
    expect(JSON.parse(told)).toMatchObject({
      code: 'STORE_NO_LIBRARY',
      remedy: expect.stringContaining(`npm install @azure/identity@${version} `),
    });
  });

  it.each([KEY, SAS])('shows nothing of a secret that is no key (%j)', async (credentials) => {
    const opening = open(credentials, QUICK, 'AccountKey=hunter2');
    await expect(opening).rejects.toMatchObject({ code: 'STORE_CREDENTIALS', transient: false });
    await expect(opening).rejects.not.toThrow('hunter2');
  });

  describe('through a network that fails', () => {
    let toxiproxy: Toxiproxy;
    let proxy: FaultyLink;
    let far: AzureStore;
    const large = Buffer.alloc(8 * MIB, 'through the storm ');
    const largeCreating = { sha256: sha256Hex(large), ifAbsent: true };

    beforeAll(async () => {
      toxiproxy = await startToxiproxy();
      proxy = await toxiproxy.createProxy('azure', `${emulator.host}:${emulator.port}`);
      const retry = { attempts: 20, baseDelayMs: 20, maxDelayMs: 100 };
      const timeouts = { connectMs: 1_000, idleMs: 700 };
      const endpoint = `http://${proxy.host}:${proxy.port}/${emulator.account}`;
      far = await open({ endpoint }, { retry, timeouts, blockBytes: 3 * MIB });
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
      const put = far.put('lost-answer', body, creating);
      while ((await store.head('lost-answer')) === undefined)
        await new Promise((resolve) => setTimeout(resolve, 20));
      await mend();
      await expect(put).resolves.toBe('exists');
      await expect(store.get('lost-answer')).resolves.toEqual(body);
    });

    it('reads a whole object though the first answers break off', async () => {
      await store.put('broken-off', large, largeCreating);
      await proxy.addToxic({ type: 'limit_data', bytes: 100_000 });
      const get = far.get('broken-off');
      setTimeout(() => void mend(), 300);
      await expect(get.then(sha256Hex)).resolves.toBe(largeCreating.sha256);
    });

    it('writes an object though its blocks are cut on the way, and nothing of the first tries is there', async () => {
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
