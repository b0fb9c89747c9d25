import { type DataObject, TASKS_PER_BATCH, type TransferTask } from '../../model/backup.ts';
import {
  findTaskResult,
  findWorkList,
  readBatch,
  readTaskResults,
  readWorkList,
  type WorkList,
  writeTaskResult,
  writeWorkList,
} from '../../repository/backups/work.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import type { Store } from '../../repository/store.ts';
import { folderForEachTest } from '../support/scratch.ts';
import { SAMPLE } from './sample-backup.ts';

const table = { database: 'shop', schema: 'public', table: 'orders' };
const description = {
  server: { product: 'postgresql', version: '15.18' },
  databases: [],
  commonObjects: [],
} as const;

function tasks(count: number): readonly TransferTask[] {
  return Array.from({ length: count }, (_, index) => ({
    index,
    chunks: [{ id: `t0-c${index}`, table, columns: ['"id"'], range: { kind: 'whole' }, estimatedBytes: 10 }],
  }));
}

function resultOf(task: number, rows = 1) {
  const object: DataObject = {
    key: `data/e1/${task}`,
    sizeBytes: 1,
    sha256: 'a'.repeat(64),
    table,
    columns: [],
    rows,
    bytes: 2,
  };
  return { index: task, objects: [object] };
}

describe('the work of an epoch', () => {
  const emptyFolder = folderForEachTest('work');
  let store: Store;
  beforeEach(() => {
    store = new DirectoryStore(emptyFolder());
  });

  it('reads a range of a key back as it was written, whatever its values are', async () => {
    const key = {
      column: '"a"',
      type: 'text',
      before: 'OPERATOR(pg_catalog.<)',
      equal: 'OPERATOR(pg_catalog.=)',
      notBefore: 'OPERATOR(pg_catalog.>=)',
      after: 'OPERATOR(pg_catalog.>)',
    };
    const places = [null, ['\u0001 "\\'], ['ß', ''], null];
    const all = [0, 1, 2].map((index): TransferTask => {
      const range = {
        kind: 'key' as const,
        keys: [key, key],
        from: places[index] ?? null,
        to: places[index + 1] ?? null,
      };
      return { index, chunks: [{ id: `t0-c${index}`, table, columns: ['"a"'], range, estimatedBytes: 10 }] };
    });
    const workList = await writeWorkList(store, SAMPLE, 1, description, all);
    expect(await readBatch(store, SAMPLE, workList, 0)).toEqual(all);
  });

  it('is cut into batches, which hold every task once and in order', async () => {
    const all = tasks(2 * TASKS_PER_BATCH + 1);
    const workList = await writeWorkList(store, SAMPLE, 1, description, all);
    expect(workList).toMatchObject({ epoch: 1, tasks: all.length, estimatedBytes: 10 * all.length });
    expect(workList.shards).toHaveLength(3);
    const read = await Promise.all(
      workList.shards.map((_, batch) => readBatch(store, SAMPLE, workList, batch)),
    );
    expect(read.flat()).toEqual(all);
    await expect(readWorkList(store, SAMPLE, 1)).resolves.toEqual(workList);
    await expect(findWorkList(store, SAMPLE, 2)).resolves.toBeUndefined();
    await expect(readBatch(store, SAMPLE, workList, 3)).rejects.toMatchObject({ code: 'WORK_NO_SHARD' });
  });

  it('may be none at all', async () => {
    const workList = await writeWorkList(store, SAMPLE, 1, description, []);
    expect(workList).toMatchObject({ tasks: 0, shards: [] });
    await expect(Array.fromAsync(readTaskResults(store, SAMPLE, workList))).resolves.toEqual([]);
  });

  it('is decided by the first export that ends, also for one that was under way at the same time', async () => {
    const first = await writeWorkList(store, SAMPLE, 1, description, tasks(3));
    await expect(writeWorkList(store, SAMPLE, 1, description, tasks(5))).resolves.toEqual(first);
    const both = await Promise.all(
      [4, 6].map((size) => writeWorkList(store, SAMPLE, 2, description, tasks(size))),
    );
    expect(both[0]).toEqual(both[1]);
    const [winner] = both;
    if (winner === undefined) throw new Error('no export ended');
    await expect(readBatch(store, SAMPLE, winner, 0)).resolves.toHaveLength(winner.tasks);
  });

  describe('has results', () => {
    let workList: WorkList;
    beforeEach(async () => {
      workList = await writeWorkList(store, SAMPLE, 1, description, tasks(40));
    });

    it('of which the first of a task counts', async () => {
      await expect(findTaskResult(store, SAMPLE, 1, 7)).resolves.toBeUndefined();
      await expect(writeTaskResult(store, SAMPLE, 1, resultOf(7))).resolves.toEqual(resultOf(7));
      await expect(writeTaskResult(store, SAMPLE, 1, resultOf(7, 99))).resolves.toEqual(resultOf(7));
      await expect(findTaskResult(store, SAMPLE, 1, 7)).resolves.toEqual(resultOf(7));
      await expect(findTaskResult(store, SAMPLE, 2, 7)).resolves.toBeUndefined();
    });

    it('which are read in the order of the tasks, whatever order they came in', async () => {
      for (let task = 39; task >= 0; task--) await writeTaskResult(store, SAMPLE, 1, resultOf(task));
      const read = readTaskResults(store, SAMPLE, workList, { concurrency: 4 });
      await expect(Array.fromAsync(read, ({ index }) => index)).resolves.toEqual([...Array(40).keys()]);
    });

    it('and a missing one is named, not passed over', async () => {
      for (let task = 0; task < 40; task++) {
        if (task !== 23) await writeTaskResult(store, SAMPLE, 1, resultOf(task));
      }
      const read = Array.fromAsync(readTaskResults(store, SAMPLE, workList));
      await expect(read).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
      await expect(read).rejects.toThrow('results/0000023.json');
    });
  });
});
