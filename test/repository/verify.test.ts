import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { zstdCompressSync } from 'node:zlib';
import { permanent, transient } from '../../model/errors.ts';
import { type S3Gateway, startS3Gateway } from '../../parts/s3.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { readManifest, readNamedObjects } from '../../repository/backups/manifest.ts';
import { type VerifyProgress, verifyBackup } from '../../repository/backups/verify.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { backupFolder, manifestKey } from '../../repository/layout.ts';
import { S3Store } from '../../repository/s3/store.ts';
import { sealJson } from '../../repository/sealed-json.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import type { Store } from '../../repository/store.ts';
import { crashingAt } from './failing-store.ts';
import { SAMPLE, writeSampleBackup } from './sample-backup.ts';

interface Repository {
  readonly store: Store;
  /** Where the store keeps an object's bytes: damage is done behind its back. */
  fileOf(key: string): string;
}

const folder = backupFolder(SAMPLE);

/** Damage to the file of one object; `other` is the file of another object with other bytes. */
const DAMAGES: readonly [string, (file: string, other: string) => Promise<void>][] = [
  ['its first byte flipped', (file) => flip(file, () => 0)],
  ['a byte in its middle flipped', (file) => flip(file, (length) => length >> 1)],
  ['its last byte flipped', (file) => flip(file, (length) => length - 1)],
  ['its last byte cut off', async (file) => writeFile(file, (await readFile(file)).subarray(0, -1))],
  ['all its bytes cut off', (file) => writeFile(file, '')],
  [
    'bytes appended',
    async (file) => writeFile(file, Buffer.concat([await readFile(file), Buffer.from('\n')])),
  ],
  ['been deleted', (file) => rm(file)],
  ['been swapped with another', async (file, other) => writeFile(file, await readFile(other))],
];

async function flip(file: string, position: (length: number) => number): Promise<void> {
  const bytes = await readFile(file);
  const at = position(bytes.length);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x01, at);
  await writeFile(file, bytes);
}

describe('verification', () => {
  let scratch: ScratchFolder;
  let gateway: S3Gateway;
  let directory: Repository;
  let s3: Repository;

  beforeAll(async () => {
    scratch = await createScratchFolder('verify');
    const root = path.join(scratch.path, 'repository');
    await mkdir(root);
    directory = { store: new DirectoryStore(root), fileOf: (key) => path.join(root, key) };
    gateway = await startS3Gateway();
    await gateway.createBucket('verify');
    const location = {
      kind: 's3',
      bucket: 'verify',
      prefix: '',
      endpoint: gateway.endpoint,
      credentials: { accessKeyId: { env: 'KEY' }, secretAccessKey: { env: 'SECRET' } },
    } as const;
    const store = await S3Store.open(location, async (reference) =>
      'env' in reference && reference.env === 'KEY' ? gateway.accessKeyId : gateway.secretAccessKey,
    );
    s3 = { store, fileOf: (key) => path.join(gateway.directory, 'verify', key) };
    for (const repository of [directory, s3]) await writeSampleBackup(repository.store);
  });
  afterAll(async () => {
    await s3.store.close();
    await gateway.stop();
    await scratch.remove();
  });

  async function keysOf({ store }: Repository): Promise<readonly string[]> {
    const manifest = await readManifest(store, SAMPLE);
    const named = await Array.fromAsync(readNamedObjects(store, manifest), ({ entry }) => folder + entry.key);
    // Schema, globals, lists and data are all among them.
    expect(named.length).toBeGreaterThanOrEqual(11);
    return [manifestKey(SAMPLE), ...named];
  }

  /** Runs `check` while an object is damaged, and mends it. */
  async function whileDamaged(
    repository: Repository,
    key: string,
    damage: (file: string, other: string) => Promise<void>,
    check: () => Promise<void>,
  ): Promise<void> {
    const keys = await keysOf(repository);
    const other = keys[(keys.indexOf(key) + 1) % keys.length];
    if (other === undefined) throw new Error('the sample has no second object');
    const sound = await repository.store.get(key);
    await damage(repository.fileOf(key), repository.fileOf(other));
    try {
      await check();
    } finally {
      // Through the store: it may keep a record of its own beside the bytes.
      await repository.store.put(key, sound, { sha256: sha256Hex(sound), ifAbsent: false });
    }
  }

  const repositories: readonly [string, () => Repository][] = [
    ['a directory', () => directory],
    ['S3', () => s3],
  ];

  describe.each(repositories)('in %s', (_, open) => {
    it.each(['exists', 'checksums', 'content'] as const)(
      'finds a sound backup OK at level %s',
      async (level) => {
        const repository = open();
        const report = await verifyBackup(repository.store, SAMPLE, level);
        const { totals, data } = await readManifest(repository.store, SAMPLE);
        const lists = 'lists' in data ? data.lists : [];
        expect(report).toMatchObject({
          ...SAMPLE,
          level,
          verdict: 'OK',
          problems: [],
          checkedObjects: totals.objects + lists.length,
          checkedBytes: totals.storedBytes + lists.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
        });
      },
    );

    it.each(DAMAGES)('names, at level content, any object that has %s', async (_, damage) => {
      const repository = open();
      for (const key of await keysOf(repository)) {
        await whileDamaged(repository, key, damage, async () => {
          const report = await verifyBackup(repository.store, SAMPLE, 'content');
          expect(report.verdict).toBe('FAILED');
          expect(report.problems.join('\n')).toContain(key);
          // And it names no sound one.
          for (const problem of report.problems) expect(problem).toContain(key);
        });
      }
    });

    it('names, at level checksums, an object that was replaced by another through the store, without reading it', async () => {
      const { store } = open();
      const [one, other] = (await keysOf(open())).filter((key) => key.includes('/data/'));
      if (one === undefined || other === undefined) throw new Error('the sample has too little data');
      const sound = await store.get(one);
      const wrong = await store.get(other);
      await store.put(one, wrong, { sha256: sha256Hex(wrong), ifAbsent: false });
      const report = await verifyBackup(store, SAMPLE, 'checksums');
      await store.put(one, sound, { sha256: sha256Hex(sound), ifAbsent: false });
      expect(report).toMatchObject({ verdict: 'FAILED', problems: [expect.stringContaining(one)] });
    });

    it('names, at level exists, every object that is missing or has another size', async () => {
      const repository = open();
      const [one, two] = (await keysOf(repository)).filter((key) => key.includes('/data/'));
      if (one === undefined || two === undefined) throw new Error('the sample has too little data');
      await whileDamaged(
        repository,
        one,
        (file) => rm(file),
        () =>
          whileDamaged(
            repository,
            two,
            (file) => writeFile(file, 'short'),
            async () => {
              const { verdict, problems } = await verifyBackup(repository.store, SAMPLE, 'exists');
              expect(verdict).toBe('FAILED');
              expect(problems).toEqual([expect.stringContaining(one), expect.stringContaining(two)]);
            },
          ),
      );
    });
  });

  it('is inconclusive where the store can not be asked, and says why', async () => {
    for (const error of [
      transient('STORE_UNREACHABLE', 'The store is away.', 'Wait.'),
      permanent('STORE_DENIED', 'Access is denied.', 'Ask for it.'),
    ]) {
      const away: Store = { ...crashingAt(directory.store, 100, 'before'), get: () => Promise.reject(error) };
      await expect(verifyBackup(away, SAMPLE, 'content')).resolves.toMatchObject({
        verdict: 'INCONCLUSIVE',
        problems: [`${error.message} (${error.code})`],
      });
    }
  });

  it('leaves a store that is away for a moment to be asked again, where its caller does', async () => {
    const away = transient('STORE_BUSY', 'The store asks to try later.', 'Wait.');
    const denied = permanent('STORE_DENIED', 'Access is denied.', 'Ask for it.');
    const failing = (error: Error): Store => ({ ...directory.store, get: () => Promise.reject(error) });
    const verify = (error: Error) =>
      verifyBackup(failing(error), SAMPLE, 'content', { throwsTransient: true });
    await expect(verify(away)).rejects.toBe(away);
    await expect(verify(denied)).resolves.toMatchObject({ verdict: 'INCONCLUSIVE' });
  });

  it('has failed where it found damage before the store went away', async () => {
    const keys = await keysOf(directory);
    const damaged = keys.find((key) => key.includes('/schema/'));
    if (damaged === undefined) throw new Error('the sample has no schema');
    await whileDamaged(
      directory,
      damaged,
      (file) => rm(file),
      async () => {
        const report = await verifyBackup(crashingAt(directory.store, 10, 'before'), SAMPLE, 'content', {
          concurrency: 1,
        });
        expect(report.verdict).toBe('FAILED');
        expect(report.problems[0]).toContain(damaged);
      },
    );
  });

  it('goes on where an interrupted one had come to', async () => {
    const whole = await verifyBackup(directory.store, SAMPLE, 'content');
    let reached: VerifyProgress | undefined;
    const interrupted = await verifyBackup(crashingAt(directory.store, 8, 'before'), SAMPLE, 'content', {
      concurrency: 1,
      progress: (progress) => {
        reached = progress;
      },
    });
    expect(interrupted.verdict).toBe('INCONCLUSIVE');
    const passed = reached?.checkedObjects ?? 0;
    expect(passed).toBeGreaterThan(0);
    let steps = 0;
    const resumed = await verifyBackup(directory.store, SAMPLE, 'content', {
      resume: reached,
      progress: () => steps++,
    });
    expect(resumed).toMatchObject({ verdict: 'OK', startedAt: interrupted.startedAt });
    expect(resumed.checkedObjects).toBe(whole.checkedObjects);
    expect(resumed.checkedBytes).toBe(whole.checkedBytes);
    expect(steps).toBe(whole.checkedObjects - passed);
  });

  it('asks for no object where its level asks for a listing, and for each beside others where it asks for checksums', async () => {
    const keys = await keysOf(directory);
    const asked = { exists: new AskedStore(directory.store), checksums: new AskedStore(directory.store) };
    for (const level of ['exists', 'checksums'] as const) {
      await expect(verifyBackup(asked[level].store, SAMPLE, level)).resolves.toMatchObject({ verdict: 'OK' });
    }
    expect(asked.exists.heads).toBe(0);
    expect(asked.exists.got.filter((key) => /\/(?:data|schema)\//.test(key))).toEqual([]);
    expect(asked.checksums.heads).toBeGreaterThan(4);
    expect(asked.checksums.mostAtOnce).toBe(Math.min(16, asked.checksums.heads));
    expect(keys.length).toBeGreaterThan(4);
  });

  it('has failed where the backup has no manifest', async () => {
    const ref = { plan: SAMPLE.plan, backup: 'never-made' };
    const report = await verifyBackup(directory.store, ref, 'content');
    expect(report).toMatchObject({ verdict: 'FAILED', problems: [expect.stringContaining('manifest.json')] });
  });

  it('has failed where a list is none, though it has the size and SHA-256 that the manifest states', async () => {
    const root = path.join(scratch.path, 'no-list');
    await mkdir(root);
    const store = new DirectoryStore(root);
    await writeSampleBackup(store);
    const put = (key: string, body: Uint8Array) =>
      store.put(key, body, { sha256: sha256Hex(body), ifAbsent: false });
    const { sha256: _, ...manifest } = JSON.parse(
      Buffer.from(await store.get(manifestKey(SAMPLE))).toString(),
    );
    const [first] = manifest.data.lists;
    for (const text of ['no frames', zstdCompressSync('no JSON')]) {
      const body = Buffer.from(text);
      await put(folder + first.key, body);
      manifest.data.lists[0] = { ...first, sizeBytes: body.length, sha256: sha256Hex(body) };
      await put(manifestKey(SAMPLE), sealJson(manifest));
      await expect(verifyBackup(store, SAMPLE, 'content')).resolves.toMatchObject({
        verdict: 'FAILED',
        problems: expect.arrayContaining([expect.stringContaining(first.key)]),
      });
    }
  });

  it('stops for an abort with its reason', async () => {
    const reason = new Error('the worker shuts down');
    const signal = AbortSignal.abort(reason);
    await expect(verifyBackup(directory.store, SAMPLE, 'content', { signal })).rejects.toBe(reason);
  });
});

/** A store that counts what it is asked about single objects. */
class AskedStore {
  heads = 0;
  mostAtOnce = 0;
  readonly got: string[] = [];
  readonly store: Store;
  #running = 0;

  constructor(inner: Store) {
    this.store = {
      description: inner.description,
      put: (key, body, options) => inner.put(key, body, options),
      get: (key, options) => {
        this.got.push(key);
        return inner.get(key, options);
      },
      head: async (key, options) => {
        this.heads += 1;
        this.#running += 1;
        this.mostAtOnce = Math.max(this.mostAtOnce, this.#running);
        // A store that answers at once would have one question at a time.
        await sleep(20);
        this.#running -= 1;
        return inner.head(key, options);
      },
      list: (prefix, options) => inner.list(prefix, options),
      folders: (folder, options) => inner.folders(folder, options),
      delete: (keys, options) => inner.delete(keys, options),
      discardUnfinished: (options) => inner.discardUnfinished(options),
      close: () => inner.close(),
    };
  }
}
