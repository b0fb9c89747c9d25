import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { S3Location } from '../../../model/pipeline.ts';
import { type S3Gateway, startS3Gateway } from '../../../parts/s3.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { rewrapKeys } from '../../../repository/encryption/check-keys.ts';
import { ClearStore } from '../../../repository/encryption/clear-store.ts';
import { EncryptedStore } from '../../../repository/encryption/encrypted-store.ts';
import { Keyring } from '../../../repository/encryption/keyring.ts';
import { batchName } from '../../../repository/layout.ts';
import { ensureRepository, readRepository } from '../../../repository/repository.ts';
import { S3Store } from '../../../repository/s3/store.ts';
import { sealJson } from '../../../repository/sealed-json.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import type { Store } from '../../../repository/store.ts';
import { itKeepsTheContractOfAStore } from '../../contract/store.ts';
import { newSigner, signingOf } from '../signing/signers.ts';
import {
  backupSide,
  encryptionOf,
  newPeople,
  newPerson,
  type People,
  restoreSide,
  secretsOf,
} from './recipients.ts';

const ONCE = { retry: { attempts: 1, baseDelayMs: 1, maxDelayMs: 1 } };
const MIB = 1024 * 1024;

describe('an encrypted repository', () => {
  let scratch: ScratchFolder;
  let gateway: S3Gateway;
  let bucket: S3Store;
  let people: People;
  beforeAll(async () => {
    scratch = await createScratchFolder('encrypted-store');
    people = await newPeople();
    gateway = await startS3Gateway();
    await gateway.createBucket('backups');
    const location: S3Location = {
      kind: 's3',
      bucket: 'backups',
      prefix: 'here',
      region: gateway.region,
      endpoint: gateway.endpoint,
      credentials: { accessKeyId: { env: 'KEY' }, secretAccessKey: { env: 'SECRET' } },
    };
    bucket = await S3Store.open(location, async (reference) =>
      'env' in reference && reference.env === 'KEY' ? gateway.accessKeyId : gateway.secretAccessKey,
    );
  });
  afterAll(async () => {
    await bucket.close();
    await gateway.stop();
    await scratch.remove();
  });
  let count = 0;
  let root: string;
  let raw: DirectoryStore;
  beforeEach(async () => {
    root = path.join(scratch.path, `root-${++count}`);
    await mkdir(root);
    raw = new DirectoryStore(root, ONCE);
  });

  const put = (store: Store, key: string, body: Uint8Array | string, ifAbsent = true) => {
    const bytes = Buffer.from(body);
    return store.put(key, bytes, { sha256: sha256Hex(bytes), ifAbsent });
  };
  const rawKeys = () => Array.fromAsync(raw.list(''), ({ key }) => key);

  describe('in a directory keeps the contract of a store, for a worker that has no identity, and', () => {
    let store: EncryptedStore;
    beforeEach(async () => {
      store = backupSide(raw, people);
      await ensureRepository(store);
    });
    itKeepsTheContractOfAStore(() => ({
      store,
      // By whoever has its keys: what fewer can do is refused before any sizes are compared.
      overwriteBehind: async (key, bytes) => void (await put(store, key, bytes, false)),
    }));
  });

  describe('in a bucket keeps the contract of a store, for a worker that restores, and', () => {
    let store: EncryptedStore;
    beforeAll(async () => {
      await ensureRepository(backupSide(bucket, people));
      store = restoreSide(bucket, people);
    });
    itKeepsTheContractOfAStore(() => ({
      store,
      overwriteBehind: async (key, bytes) => void (await put(backupSide(bucket, people), key, bytes, false)),
    }));
  });

  it('gives any range of a large object, across chunks and at its end', async () => {
    const store = backupSide(raw, people);
    await ensureRepository(store);
    const body = randomBytes(3 * 65_536 + 17);
    await put(store, 'objects/aa/pack', body);
    const reader = restoreSide(raw, people);
    for (const [start, end] of [
      [0, 1],
      [65_535, 65_537],
      [65_536, 131_072],
      [10, 3 * 65_536 + 5],
      [3 * 65_536, 3 * 65_536 + 17],
      [3 * 65_536 + 16, 9_999_999],
      [131_072, 196_608],
    ] as const) {
      const part = await reader.get('objects/aa/pack', { range: { start, end } });
      expect(Buffer.from(part)).toEqual(body.subarray(start, end));
    }
  });

  it('reads an object that was replaced by the same contents under another data key since its header was read', async () => {
    const body = randomBytes(2 * 65_536);
    await ensureRepository(backupSide(raw, people));
    await put(backupSide(raw, people), 'objects/aa/pack', body);
    const reader = restoreSide(raw, people);
    const range = { start: 10, end: 65_600 };
    await reader.get('objects/aa/pack', { range });
    await put(backupSide(raw, people), 'objects/aa/pack', body, false);
    const again = await reader.get('objects/aa/pack', { range });
    expect(Buffer.from(again)).toEqual(body.subarray(range.start, range.end));
  });

  it('names a damaged object as its callers do, also where the store notices the damage', async () => {
    const side = backupSide(bucket, people);
    await ensureRepository(side);
    const key = 'flipped/row-0123456789abcdef';
    await put(side, key, 'a row');
    const [stored = ''] = await Array.fromAsync(bucket.list('flipped/'), (found) => found.key);
    expect(stored).not.toBe(key);
    const file = path.join(gateway.directory, 'backups', 'here', stored);
    const bytes = await readFile(file);
    bytes[70] = (bytes[70] ?? 0) ^ 1;
    await writeFile(file, bytes);
    const reading = restoreSide(bucket, people).get(key);
    await expect(reading).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
    await expect(reading).rejects.toThrow(key);
    await expect(reading).rejects.not.toThrow(stored);
  });

  it('reads no object for its checksum that has not the size it should have', async () => {
    const store = backupSide(raw, people);
    await ensureRepository(store);
    await put(store, 'some/data', 'a row');
    await put(store, 'some/data', randomBytes(100_000), false);
    const read: string[] = [];
    const watched = new Proxy(raw, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (name !== 'get') return typeof member === 'function' ? member.bind(target) : member;
        return (...args: Parameters<Store['get']>) => {
          read.push(args[0]);
          return target.get(...args);
        };
      },
    });
    const reader = backupSide(watched, people);
    await expect(reader.head('some/data', { checksum: true, sizeBytes: 5 })).resolves.toEqual({
      sizeBytes: 100_000,
    });
    expect(read).not.toContain('some/data');
  });

  it('writes nothing under a metadata key of whoever replaced the document of a signed repository and put it back', async () => {
    const signer = newSigner();
    const spec = encryptionOf(people);
    const secrets = secretsOf({
      IDENTITY: people.alice.identity,
      METADATA_IDENTITY: people.worker.identity,
    });
    const open = () => new EncryptedStore(raw, spec, secrets, signingOf(signer, [signer]));
    await ensureRepository(open());
    const genuine = await raw.get('repository.json');
    const mallory = await newPerson();
    const theirs = { ...spec, recipients: [...spec.recipients, mallory.recipient] };
    const forger = new Keyring(
      raw,
      { recipients: theirs.recipients, identity: { env: 'IDENTITY' } },
      secretsOf({ IDENTITY: mallory.identity }),
    );
    const { id } = await forger.makeMetadataKey();
    const known = await readRepository(raw);
    const forged = Buffer.from(sealJson({ ...known, encryption: { metadataKey: id } }));
    await put(raw, 'repository.json', forged, false);
    const worker = open();
    await Array.fromAsync(worker.list('backups/'));
    await expect(put(worker, 'backups/p/a/manifest.json', '{}')).rejects.toMatchObject({
      code: 'SIGNATURE_MISSING',
    });
    await put(raw, 'repository.json', genuine, false);
    await ensureRepository(worker);
    await put(worker, 'backups/p/b/manifest.json', '{}');
    const read = await open().get('backups/p/b/manifest.json');
    expect(Buffer.from(read).toString()).toBe('{}');
  });

  it('lets the worker that made a backup read no data of another process, nor of its own past', async () => {
    const store = backupSide(raw, people);
    await ensureRepository(store);
    await put(store, 'backups/p/b/data/e1/c-0.copy.zst', 'a row');
    await put(store, 'backups/p/b/manifest.json', '{}');
    const thief = backupSide(raw, people);
    await expect(thief.get('backups/p/b/data/e1/c-0.copy.zst')).rejects.toMatchObject({
      code: 'ENCRYPTION_NO_IDENTITY',
      transient: false,
    });
    await expect(thief.get('backups/p/b/manifest.json')).resolves.toHaveLength(2);
    await expect(thief.head('backups/p/b/data/e1/c-0.copy.zst', { checksum: true })).resolves.toEqual({
      sizeBytes: 5,
      sha256: sha256Hex(Buffer.from('a row')),
    });
    for (const person of [people.alice, people.bob]) {
      const read = await restoreSide(raw, people, person).get('backups/p/b/data/e1/c-0.copy.zst');
      expect(Buffer.from(read).toString()).toBe('a row');
    }
  });

  it('says of an identity of somebody else that it is the wrong one', async () => {
    const store = backupSide(raw, people);
    await ensureRepository(store);
    await put(store, 'some/data', 'a row');
    const stranger = restoreSide(raw, people, await newPerson());
    await expect(stranger.get('some/data')).rejects.toMatchObject({ code: 'ENCRYPTION_WRONG_IDENTITY' });
  });

  it('writes the same bytes for the same contents and name, and others under another name', async () => {
    const store = backupSide(raw, people);
    await ensureRepository(store);
    await put(store, 'some/one', 'contents');
    const first = await readFile(path.join(root, 'some/one'));
    await put(store, 'some/one', 'contents', false);
    await put(store, 'some/two', 'contents');
    await expect(readFile(path.join(root, 'some/one'))).resolves.toEqual(first);
    await expect(readFile(path.join(root, 'some/two'))).resolves.not.toEqual(first);
  });

  it.each([
    ['in its header', 30],
    ['in its body', 70],
    ['in its key id', 10],
  ])('notices a bit that is flipped %s', async (_, at) => {
    const store = backupSide(raw, people);
    await ensureRepository(store);
    await put(store, 'some/json.json', '{"a": 1}');
    const file = path.join(root, 'some/json.json');
    const bytes = await readFile(file);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(file, bytes);
    await expect(store.get('some/json.json')).rejects.toMatchObject({
      code: 'STORE_DAMAGED',
    });
    const told = await store.head('some/json.json', { checksum: true });
    expect(told?.sha256).not.toBe(sha256Hex(Buffer.from('{"a": 1}')));
  });

  it('takes no object from another name, from another repository, or in the clear', async () => {
    const store = backupSide(raw, people);
    await ensureRepository(store);
    await put(store, 'some/one', 'one');
    await put(store, 'some/two', 'two');
    const one = await readFile(path.join(root, 'some/one'));
    await writeFile(path.join(root, 'some/two'), one);
    await expect(store.get('some/two')).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
    await expect(store.head('some/two', { checksum: true })).resolves.not.toMatchObject({
      sha256: sha256Hex(Buffer.from('one')),
    });
    await writeFile(path.join(root, 'some/two'), 'x'.repeat(300));
    await expect(store.get('some/two')).rejects.toThrow('not an encrypted object');
    await writeFile(path.join(root, 'some/two'), 'two');
    await expect(Array.fromAsync(store.list('some/'), ({ sizeBytes }) => sizeBytes)).resolves.toEqual(
      expect.arrayContaining([3, -1]),
    );
  });

  it('notices that the end of an object was cut off at a chunk', async () => {
    const store = backupSide(raw, people);
    await ensureRepository(store);
    await put(store, 'some/large', randomBytes(2 * 65_536));
    const file = path.join(root, 'some/large');
    const bytes = await readFile(file);
    const cut = Buffer.concat([bytes.subarray(0, 64 + 65_552), bytes.subarray(-112)]);
    cut.writeBigUInt64BE(65_536n, 56);
    await writeFile(file, cut);
    await expect(store.get('some/large')).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
    await expect(store.get('some/large', { range: { start: 0, end: 10 } })).rejects.toMatchObject({
      code: 'STORE_DAMAGED',
    });
  });

  it('shows no hash of contents in a name, and reads its names back', async () => {
    const store = backupSide(raw, people);
    await ensureRepository(store);
    const sha256 = sha256Hex(Buffer.from('a guess'));
    const keys = [
      `objects/${sha256.slice(0, 2)}/${sha256}`,
      `objects/${sha256.slice(0, 2)}/${sha256}-0123abcd`,
      `index/${sha256}.json.zst`,
      `backups/p/20261130T020000Z-abc/data/e1/t0-c0of1-0-${sha256.slice(0, 12)}.copy.zst`,
      `backups/p/20261130T020000Z-abc/${batchName(1, 0, sha256)}`,
    ].sort();
    for (const key of keys) await put(store, key, 'a guess');
    const stored = (await rawKeys()).join('\n');
    expect(stored).not.toContain(sha256.slice(0, 12));
    await expect(Array.fromAsync(backupSide(raw, people).list(''), ({ key }) => key)).resolves.toEqual(
      expect.arrayContaining(keys),
    );
    for (const key of keys) {
      const folder = key.slice(0, key.lastIndexOf('-') + 1);
      if (folder === '') continue;
      const found = await Array.fromAsync(store.list(key.slice(0, -3)), (each) => each.key);
      expect(found).toContain(key);
    }
    await store.delete(keys);
    expect((await rawKeys()).filter((key) => key.startsWith('objects/'))).toEqual([]);
  });

  it('goes on with another data key after a month, and reads what both wrote', async () => {
    const store = backupSide(raw, people);
    await ensureRepository(store);
    await put(store, 'some/old', 'old');
    jest.useFakeTimers({
      doNotFake: ['setImmediate', 'nextTick', 'setTimeout'],
      now: Date.now() + 31 * 86_400_000,
    });
    try {
      await put(store, 'some/new', 'new');
    } finally {
      jest.useRealTimers();
    }
    expect(await store.keyIdOf('some/old')).not.toBe(await store.keyIdOf('some/new'));
    const reader = restoreSide(raw, people);
    expect(Buffer.from(await reader.get('some/old')).toString()).toBe('old');
    expect(Buffer.from(await reader.get('some/new')).toString()).toBe('new');
  });

  it('makes one data key for all slots of a process, stored before the first object', async () => {
    const store = backupSide(raw, people);
    await ensureRepository(store);
    await Promise.all(Array.from({ length: 8 }, (_, slot) => put(store, `some/${slot}`, `row ${slot}`)));
    // The metadata key and one data key.
    await expect(store.keyFiles()).resolves.toHaveLength(2);
  });

  it('says that what a lost key file opened is damaged, which a verification calls FAILED', async () => {
    const store = backupSide(raw, people);
    await ensureRepository(store);
    await put(store, 'some/data', 'a row');
    await rm(path.join(root, 'keys', `${await store.keyIdOf('some/data')}.age`));
    await expect(restoreSide(raw, people).get('some/data')).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
  });

  describe('is told from a clear one', () => {
    it('by a plan that says encrypted: a clear repository is refused, and nothing is written', async () => {
      await ensureRepository(new ClearStore(raw));
      const before = await rawKeys();
      const store = backupSide(raw, people);
      await expect(ensureRepository(store)).rejects.toMatchObject({ code: 'REPOSITORY_IS_CLEAR' });
      await expect(put(store, 'some/data', 'a row')).rejects.toMatchObject({ code: 'REPOSITORY_IS_CLEAR' });
      await expect(rawKeys()).resolves.toEqual(before);
    });

    it('by a plan that says nothing: an encrypted repository is refused, and nothing is written', async () => {
      await ensureRepository(backupSide(raw, people));
      const before = await rawKeys();
      const store = new ClearStore(raw);
      await expect(ensureRepository(store)).rejects.toMatchObject({ code: 'REPOSITORY_IS_ENCRYPTED' });
      await expect(put(store, 'some/data', 'a row')).rejects.toMatchObject({
        code: 'REPOSITORY_IS_ENCRYPTED',
      });
      await expect(Array.fromAsync(store.list(''))).rejects.toMatchObject({
        code: 'REPOSITORY_IS_ENCRYPTED',
      });
      await expect(rawKeys()).resolves.toEqual(before);
    });

    it('by its format: 2 where it is encrypted, and still 1 where it is clear', async () => {
      await ensureRepository(backupSide(raw, people));
      await expect(readRepository(raw)).resolves.toMatchObject({ formatVersion: 2 });
      const place = path.join(scratch.path, `clear-${count}`);
      await mkdir(place);
      const clear = new DirectoryStore(place, ONCE);
      await expect(ensureRepository(new ClearStore(clear))).resolves.toMatchObject({ formatVersion: 1 });
    });
  });

  it('is made once by two workers at once, and both can write', async () => {
    const stores = [backupSide(raw, people), backupSide(raw, people)];
    const [one, other] = await Promise.all(stores.map((store) => ensureRepository(store)));
    expect(one).toEqual(other);
    await Promise.all(stores.map((store, index) => put(store, `some/${index}.json`, 'x')));
    for (const store of stores) await expect(store.get('some/1.json')).resolves.toHaveLength(1);
  });

  it('is not made by a worker without the metadata identity, since those that have it could not open it', async () => {
    await expect(ensureRepository(restoreSide(raw, people))).rejects.toMatchObject({
      code: 'ENCRYPTION_NO_IDENTITY',
    });
    await expect(rawKeys()).resolves.toEqual([]);
  });

  it('is not made by a worker that could not open it afterwards', async () => {
    const { metadataIdentity: _, ...spec } = encryptionOf(people);
    const { identity } = await newPerson();
    const store = new EncryptedStore(raw, spec, secretsOf({ IDENTITY: identity }));
    await expect(ensureRepository(store)).rejects.toMatchObject({ code: 'ENCRYPTION_WRONG_IDENTITY' });
    expect((await rawKeys()).filter((key) => !key.startsWith('keys/'))).toEqual([]);
  });

  it('is re-wrapped only where the metadata identity is too: else every worker that has it would be locked out', async () => {
    const store = backupSide(raw, people);
    await ensureRepository(store);
    await put(store, 'some/data', 'a row');
    const files = async () =>
      Promise.all((await store.keyFiles()).toSorted().map((name) => readFile(path.join(root, name), 'utf8')));
    const before = await files();
    await expect(rewrapKeys(restoreSide(raw, people))).rejects.toMatchObject({
      code: 'ENCRYPTION_NO_IDENTITY',
    });
    await expect(rewrapKeys(backupSide(raw, people))).rejects.toMatchObject({
      code: 'ENCRYPTION_WRONG_IDENTITY',
    });
    await expect(files()).resolves.toEqual(before);

    const carol = await newPerson();
    const secrets = { IDENTITY: people.bob.identity, METADATA_IDENTITY: people.worker.identity };
    const spec = { ...encryptionOf(people), recipients: [carol.recipient] };
    await expect(rewrapKeys(new EncryptedStore(raw, spec, secretsOf(secrets)))).resolves.toBe(2);
    const read = await restoreSide(raw, people, carol).get('some/data');
    expect(Buffer.from(read).toString()).toBe('a row');
    await expect(restoreSide(raw, people).get('some/data')).rejects.toMatchObject({
      code: 'ENCRYPTION_WRONG_IDENTITY',
    });
    await expect(put(backupSide(raw, people), 'some/more.json', 'x')).resolves.toBe('created');
  });

  it('lists and deletes nothing where its document is gone: no name can be read then', async () => {
    const store = backupSide(raw, people);
    await ensureRepository(store);
    await put(store, 'backups/p/b/manifest.json', '{}');
    await rm(path.join(root, 'repository.json'));
    const later = backupSide(raw, people);
    await expect(Array.fromAsync(later.list('backups/'))).resolves.toEqual([]);
    await expect(later.delete(['backups/p/b/manifest.json'])).rejects.toMatchObject({
      code: 'REPOSITORY_NOT_FOUND',
    });
    await expect(put(later, 'some/data', 'x')).rejects.toMatchObject({ code: 'REPOSITORY_NOT_FOUND' });
  });

  it('adds 192 bytes to a small object, and 16 to each further 64 KiB', async () => {
    const store = backupSide(raw, people);
    await ensureRepository(store);
    await put(store, 'some/small', 'x');
    await put(store, 'some/large', randomBytes(MIB));
    await expect(raw.head('some/small')).resolves.toEqual({ sizeBytes: 1 + 192 });
    await expect(raw.head('some/large')).resolves.toEqual({ sizeBytes: MIB + 176 + 16 * 16 });
  });
});
