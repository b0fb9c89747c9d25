import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { BackupContext } from '../../../engines/engine.ts';
import {
  readLedger,
  type SnapshotIntent,
  writeCreated,
  writeIntent,
} from '../../../engines/universe/snapshot-ledger.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import {
  readScheduleRecord,
  type ScheduleRecord,
  writeScheduleRecord,
} from '../../../repository/in-cluster.ts';
import { readSchemaWatch, type SchemaWatch, writeSchemaWatch } from '../../../repository/off-cluster.ts';
import { sealJson } from '../../../repository/sealed-json.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import type { Store } from '../../../repository/store.ts';
import { SAMPLE } from '../sample-backup.ts';
import { newSigner, signedStore } from './signers.ts';

const { plan } = SAMPLE;
const NAMESPACE = 'ysql.orders';
const AT = '2026-11-30T00:00:00.000Z';
const worker = newSigner();

let scratch: ScratchFolder;
let folders = 0;
beforeAll(async () => {
  scratch = await createScratchFolder('unsigned-notes');
});
afterAll(() => scratch.remove());

async function newStores(): Promise<{ readonly raw: DirectoryStore; readonly store: Store }> {
  const folder = path.join(scratch.path, String(++folders));
  await mkdir(folder);
  const raw = new DirectoryStore(folder);
  return { raw, store: signedStore(raw, worker, [worker]) };
}

/** Puts what nobody signed over the one object, or over all, below a folder. */
async function forge(raw: Store, folder: string, value: object): Promise<void> {
  const body = sealJson(value);
  for await (const { key } of raw.list(folder)) {
    await raw.put(key, body, { sha256: sha256Hex(body), ifAbsent: false });
  }
}

/** What reads and writes a ledger of snapshots needs of a backup's context. */
function contextOf(store: Store): BackupContext {
  const context: Pick<BackupContext, 'store' | 'ref' | 'signal'> = {
    store,
    ref: { ...SAMPLE, repository: { name: 'main', location: { kind: 'directory', path: '/' } } },
    signal: new AbortController().signal,
  };
  return context as BackupContext;
}

const record: ScheduleRecord = {
  plan,
  namespace: NAMESPACE,
  schedule: 'ours',
  adopted: false,
  intervalMs: 1,
  retentionMs: 2,
  since: AT,
};

test('a snapshot schedule that a forger calls the plan’s own is never the plan’s to delete', async () => {
  const { raw, store } = await newStores();
  await writeScheduleRecord(store, record);
  expect(await readScheduleRecord(store, plan, NAMESPACE)).toEqual(record);
  await forge(raw, 'in-cluster/', { ...record, schedule: 'somebody-elses' });
  expect(await readScheduleRecord(store, plan, NAMESPACE)).toMatchObject({ adopted: true });
  // Where the plan asks for no signatures, nothing changes.
  expect(await readScheduleRecord(raw, plan, NAMESPACE)).toMatchObject({ adopted: false });
});

test('what a forger says of a schema’s past gets into no manifest', async () => {
  const { raw, store } = await newStores();
  const watch: SchemaWatch = {
    plan,
    namespace: NAMESPACE,
    spans: [{ schema: 'a', since: AT, until: AT }],
    restorations: [],
  };
  await writeSchemaWatch(store, watch);
  expect(await readSchemaWatch(store, plan, NAMESPACE)).toEqual(watch);
  await forge(raw, 'off-cluster/', { ...watch, spans: [] });
  expect(await readSchemaWatch(store, plan, NAMESPACE)).toBeUndefined();
  await writeSchemaWatch(store, watch);
  expect(await readSchemaWatch(store, plan, NAMESPACE)).toEqual(watch);
});

describe('a snapshot that a forger names', () => {
  const intent: SnapshotIntent = {
    epoch: 0,
    database: 'orders',
    api: 'ysql',
    attempt: 0,
    before: ['old'],
    at: AT,
  };

  it('is not taken for the backup’s, nor deleted for it', async () => {
    const { raw, store } = await newStores();
    const context = contextOf(store);
    await writeIntent(context, 0, intent);
    await writeCreated(context, 0, intent, 'ours');
    expect(await readLedger(context)).toMatchObject([{ intent, snapshot: 'ours' }]);
    const [created = ''] = (await Array.fromAsync(raw.list('snapshots/'), ({ key }) => key)).filter((key) =>
      key.endsWith('.created.json'),
    );
    await forge(raw, created, { snapshot: 'somebody-elses' });
    const [entry] = await readLedger(context);
    expect(entry).toMatchObject({ intent });
    expect(entry).not.toHaveProperty('snapshot');
    await writeCreated(context, 0, intent, 'ours');
    expect(await readLedger(context)).toMatchObject([{ intent, snapshot: 'ours' }]);
  });

  it('has no entry where its intent is forged, and the true one replaces it', async () => {
    const { raw, store } = await newStores();
    const context = contextOf(store);
    await writeIntent(contextOf(raw), 0, { ...intent, before: [] });
    await writeCreated(contextOf(raw), 0, intent, 'somebody-elses');
    expect(await readLedger(context)).toEqual([]);
    await writeIntent(context, 0, intent);
    const [entry] = await readLedger(context);
    expect(entry).toMatchObject({ intent });
    expect(entry).not.toHaveProperty('snapshot');
  });
});
