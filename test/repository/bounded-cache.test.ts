import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Repositories } from '../../activities/repositories.ts';
import type { BackupRef } from '../../model/backup.ts';
import { BoundedCache, roughBytes } from '../../repository/bounded-cache.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { folderForEachTest } from '../support/scratch.ts';
import { writeSampleBackup } from './sample-backup.ts';

/** Eleven seconds pass before each question. */
let clock = Date.now();
beforeEach(() => {
  jest.spyOn(Date, 'now').mockImplementation(() => clock);
});
afterEach(() => jest.restoreAllMocks());
const later = (seconds = 11) => {
  clock += seconds * 1_000;
};

describe('a cache that is bounded by bytes', () => {
  const values = (count: number) => Array.from({ length: count }, (_, n) => ({ name: `value ${n}` }));

  it('keeps many small values and few large ones', async () => {
    const cache = new BoundedCache<unknown>(20_000);
    for (const [count, size] of [
      [500, 1],
      [20, 500],
      [3, 20_000],
    ] as const) {
      for (let n = 0; n < count; n++) {
        later();
        await cache.get(`${size}: ${n}`, async () => values(size));
      }
      // One alone may be larger.
      expect(cache.keptBytes).toBeLessThanOrEqual(Math.max(20_000, roughBytes(values(size))));
    }
    const made = jest.fn(() => Promise.resolve(values(1)));
    await cache.get('20000: 2', made);
    expect(made).not.toHaveBeenCalled();
    later();
    await cache.get('500: 19', made);
    expect(made).toHaveBeenCalledTimes(1);
    expect(cache.keptBytes).toBe(roughBytes(values(1)));
  });

  it('forgets what was asked for longest ago', async () => {
    const cache = new BoundedCache<string>(3 * roughBytes('0123456789'));
    const made = jest.fn(() => Promise.resolve('0123456789'));
    for (const name of ['a', 'b', 'c', 'a', 'd', 'a']) {
      later();
      await cache.get(name, made);
    }
    expect(made).toHaveBeenCalledTimes(4);
    await cache.get('b', made);
    expect(made).toHaveBeenCalledTimes(5);
  });

  it('keeps what work under way asks for again and again, however much that is', async () => {
    const cache = new BoundedCache<string>(1);
    const made = jest.fn(() => Promise.resolve('0123456789'));
    for (const name of ['a', 'b', 'c', 'a', 'b', 'c']) {
      later(1);
      await cache.get(name, made);
    }
    expect(made).toHaveBeenCalledTimes(3);
    later();
    await cache.get('d', made);
    expect(cache.keptBytes).toBe(roughBytes('0123456789'));
  });

  it('makes a value once for all who ask meanwhile, and again after a failure', async () => {
    const cache = new BoundedCache<string>(1_000);
    const failing = jest.fn(() => Promise.reject(new Error('the store is gone')));
    const asked = [cache.get('a', failing), cache.get('a', failing)];
    await expect(Promise.allSettled(asked)).resolves.toEqual(
      Array(2).fill(expect.objectContaining({ status: 'rejected' })),
    );
    expect(failing).toHaveBeenCalledTimes(1);
    await expect(cache.get('a', async () => 'there')).resolves.toBe('there');
    expect(cache.keptBytes).toBe(roughBytes('there'));
  });

  it('forgets everything that nobody asks for', async () => {
    jest.restoreAllMocks();
    jest.useFakeTimers();
    try {
      const cache = new BoundedCache<string>(1_000);
      await cache.get('a', async () => 'a');
      await jest.advanceTimersByTimeAsync(50_000);
      await cache.get('b', async () => 'b');
      await jest.advanceTimersByTimeAsync(20_000);
      expect(cache.keptBytes).toBe(roughBytes('b'));
      await jest.advanceTimersByTimeAsync(60_000);
      expect(cache.keptBytes).toBe(0);
      expect(jest.getTimerCount()).toBe(0);
    } finally {
      jest.useRealTimers();
    }
  });
});

describe('a worker’s memory of backups', () => {
  const emptyFolder = folderForEachTest('memory-of-backups');

  it('is bounded by bytes: however many small ones, and few with many objects', async () => {
    const root = emptyFolder();
    const write = async (backup: string, chunks: number): Promise<BackupRef> => {
      const ref = { plan: 'orders', backup };
      await writeSampleBackup(new DirectoryStore(root), { epoch: 1, chunks }, ref);
      return { ...ref, repository: { name: 'main', location: { kind: 'directory', path: root } } };
    };
    const small: BackupRef[] = [];
    for (let n = 0; n < 6; n++) small.push(await write(`20261123T02000${n}Z-small`, 1));
    const large = [await write('20261123T030000Z-large', 40), await write('20261123T030001Z-large', 40)];
    const repositories = new Repositories(20_000);
    const ask = async (ref: BackupRef) => {
      later();
      return (await (await repositories.backup(ref)).dataObjects()).length;
    };
    try {
      for (const ref of small) expect(await ask(ref)).toBe(2);
      expect(repositories.keptBytes).toBeLessThan(2 * 20_000);
      // Only memory can answer from now on.
      for (const ref of small) await rm(join(root, 'backups', ref.plan, ref.backup), { recursive: true });
      for (const ref of small) expect(await ask(ref)).toBe(2);

      for (const ref of large) expect(await ask(ref)).toBe(80);
      const [first = small[0], second = small[0]] = large;
      if (first === undefined || second === undefined) throw new Error('there are two');
      for (const ref of large) await rm(join(root, 'backups', ref.plan, ref.backup), { recursive: true });
      expect(await ask(second)).toBe(80);
      await expect(ask(first)).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
    } finally {
      await repositories.close();
    }
  });
});
