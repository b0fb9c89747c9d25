import type { SealingParts } from '../../engines/engine.ts';
import { sealBackup } from '../../engines/sealing.ts';
import type { SealInput } from '../../model/backup.ts';
import { permanent, transient } from '../../model/errors.ts';
import { readManifest } from '../../repository/backups/manifest.ts';
import { writeManifest } from '../../repository/backups/write-manifest.ts';
import { isWork } from '../../repository/layout.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import type { Store } from '../../repository/store.ts';
import { backupContext, createRepository, type TestRepository } from '../support/engine-runs.ts';
import { counting } from '../universe/agent/node-folder.ts';

/* The frame that seals the backups of every engine, with the parts of one that has nothing but a schema. */

let repository: TestRepository;

beforeAll(async () => {
  repository = await createRepository();
});

afterAll(() => repository.remove());

function newBackup(changes: Partial<Store> = {}, signal = new AbortController().signal) {
  const plain = backupContext(repository, { secret: async () => '' });
  const store: Store = { ...counting(repository.store).store, ...changes };
  const logged: string[] = [];
  const context = { ...plain, store, signal, log: (message: string) => logged.push(message) };
  const input: SealInput = {
    ref: context.ref,
    source: {
      engine: 'ysql',
      connection: { env: 'NONE' },
      tables: { include: [], exclude: [] },
      contents: 'all',
      globals: 'none',
      chunkBytes: 1,
    },
    readPoint: { kind: 'yb-read-time', epoch: 1, micros: '1', takenAt: '2026-11-29T00:00:00.000Z' },
    pipelineHash: 'test',
    startedAt: '2026-11-29T00:00:00.000Z',
  };
  let collected = 0;
  const engine = {
    collect: async (): Promise<SealingParts> => {
      collected += 1;
      return {
        description: {
          server: { product: 'yugabytedb', version: '2.25' },
          contents: 'all',
          databases: [],
          commonObjects: [],
        },
        kit: () => [{ key: 'RESTORE.md', text: 'how to' }],
        writeManifest: (draft) => writeManifest(store, draft, []),
      };
    },
  };
  return { context, input, engine, logged, collected: () => collected };
}

async function leaveWork({
  context,
}: ReturnType<typeof newBackup>): Promise<() => Promise<readonly string[]>> {
  const body = Buffer.from('left over');
  const key = `${context.folder}work/e1/left-over`;
  await repository.store.put(key, body, { sha256: sha256Hex(body), ifAbsent: false });
  return async () =>
    (await Array.fromAsync(repository.store.list(context.folder), (object) => object.key)).filter(isWork);
}

test('a sealed backup has its kit in the manifest, and its folder holds nothing else', async () => {
  const backup = newBackup();
  const left = await leaveWork(backup);
  const summary = await sealBackup(backup.engine, backup.context, backup.input);
  const manifest = await readManifest(repository.store, backup.context.ref);
  expect(manifest.commonObjects.map(({ key }) => key)).toEqual(['RESTORE.md']);
  expect(summary).toMatchObject({ backup: backup.context.ref.backup, objects: 1 });
  expect(await left()).toEqual([]);
  expect(backup.logged).toEqual([]);
});

test('an attempt after the manifest was written collects nothing again, and tells the same', async () => {
  const backup = newBackup();
  const first = await sealBackup(backup.engine, backup.context, backup.input);
  expect(await sealBackup(backup.engine, backup.context, backup.input)).toEqual(first);
  expect(backup.collected()).toBe(1);
});

test.each([
  ['may not delete', permanent('STORE_DENIED', 'Access is denied.', 'Ask for it.')],
  ['does not answer', transient('STORE_UNAVAILABLE', 'The store is away.', 'It is tried again.')],
  ['finds damage', permanent('STORE_DAMAGED', 'A list is damaged.', 'See the store.')],
])('a sweep that %s leaves the backup complete, and says what stays', async (_what, failure) => {
  const backup = newBackup({ delete: () => Promise.reject(failure) });
  const left = await leaveWork(backup);
  const summary = await sealBackup(backup.engine, backup.context, backup.input);
  expect(summary.manifestSha256).toMatch(/^[0-9a-f]{64}$/);
  expect(await left()).toHaveLength(1);
  expect(backup.logged).toEqual([expect.stringContaining('stays until the next prune')]);
});

test('a sweep that is cancelled, or fails by a mistake of ours, is not passed over', async () => {
  const stop = new AbortController();
  const cancelled = newBackup(
    {
      delete: () => {
        stop.abort(new Error('the run was cancelled'));
        return Promise.reject(transient('STORE_UNAVAILABLE', 'aborted', ''));
      },
    },
    stop.signal,
  );
  await leaveWork(cancelled);
  await expect(sealBackup(cancelled.engine, cancelled.context, cancelled.input)).rejects.toThrow(
    'the run was cancelled',
  );
  const mistaken = newBackup({ delete: () => Promise.reject(new TypeError('x is undefined')) });
  await leaveWork(mistaken);
  await expect(sealBackup(mistaken.engine, mistaken.context, mistaken.input)).rejects.toThrow(TypeError);
});
