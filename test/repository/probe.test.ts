import { startS3Gateway } from '../../parts/s3.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { probeStore, putProbe } from '../../repository/probe.ts';
import { S3Store } from '../../repository/s3/store.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import type { Store } from '../../repository/store.ts';

describe('the probe of a store', () => {
  let scratch: ScratchFolder;
  let good: Store;
  beforeAll(async () => {
    scratch = await createScratchFolder('probe');
    good = new DirectoryStore(scratch.path);
  });
  afterAll(() => scratch.remove());

  /** A store that is like a good one but for some of its calls. */
  const but = (changes: Partial<Store>): Store => ({
    description: 'the store',
    put: (...args) => good.put(...args),
    get: (...args) => good.get(...args),
    head: (...args) => good.head(...args),
    list: (...args) => good.list(...args),
    folders: (...args) => good.folders(...args),
    delete: (...args) => good.delete(...args),
    discardUnfinished: (...args) => good.discardUnfinished(...args),
    close: () => good.close(),
    ...changes,
  });

  it('passes a directory', async () => {
    await putProbe(good, 'doctor/probe');
    await expect(probeStore(good, 'doctor/probe')).resolves.toBeUndefined();
    await expect(probeStore(good, 'doctor/probe')).resolves.toBeUndefined();
  });

  it('passes a bucket', async () => {
    const gateway = await startS3Gateway();
    try {
      await gateway.createBucket('probed');
      const store = await S3Store.open(
        {
          kind: 's3',
          bucket: 'probed',
          prefix: 'here',
          region: gateway.region,
          endpoint: gateway.endpoint,
          credentials: { accessKeyId: { env: 'KEY' }, secretAccessKey: { env: 'SECRET' } },
        },
        async (reference) =>
          'env' in reference && reference.env === 'KEY' ? gateway.accessKeyId : gateway.secretAccessKey,
      );
      await putProbe(store, 'doctor/probe');
      await expect(probeStore(store, 'doctor/probe')).resolves.toBeUndefined();
      await store.close();
    } finally {
      await gateway.stop();
    }
  });

  it.each<[string, string, Partial<Store>]>([
    [
      'that ignores If-None-Match',
      'STORE_UNCONDITIONAL',
      { put: (key, body, options) => good.put(key, body, { ...options, ifAbsent: false }) },
    ],
    ['that lists late', 'STORE_LISTS_LATE', { list: (prefix) => good.list(`${prefix}-of-later`) }],
    [
      'that checks no sums',
      'STORE_UNCHECKED',
      { put: (key, body, options) => good.put(key, body, { ...options, sha256: sha256Hex(body) }) },
    ],
  ])('refuses a store %s', async (_, code, changes) => {
    await putProbe(good, 'doctor/probe');
    await expect(probeStore(but(changes), 'doctor/probe')).rejects.toMatchObject({ code, transient: false });
  });
});
