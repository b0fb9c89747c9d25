import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pendingExports } from '../../../engines/universe/off-cluster/pending.ts';
import { windowOf } from '../../../model/history-window.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { writeScheduleRecord } from '../../../repository/in-cluster.ts';
import { manifestKey } from '../../../repository/layout.ts';
import { discardBackup, tombstone } from '../../../repository/retention/sweep.ts';
import { replaceSealed } from '../../../repository/sealed-object.ts';
import { eventually } from '../../support/processes.ts';
import { query } from '../../support/sql.ts';
import { said } from '../by-hand.ts';
import { startUniverse, type Universe } from '../launcher.ts';
import { DATABASE, Ledger, randomFrom } from './off-cluster.ts';
import { backUp, contextOf, newRef, type Rig, restore, rightAgents, sourceOf } from './rig.ts';

/** Any second off the cluster: a chain of a schedule's own snapshots, exported, and instants between them. */

let scratch: ScratchFolder;
let universe: Universe;
let rig: Rig;

beforeAll(async () => {
  scratch = await createScratchFolder('off-cluster');
  universe = await startUniverse({ tabletsPerTable: 2 });
  await mkdir(path.join(scratch.path, 'repository'));
  rig = {
    universe,
    store: new DirectoryStore(path.join(scratch.path, 'repository')),
    source: sourceOf(universe, { databases: [DATABASE] }),
    agents: rightAgents(universe, path.join(scratch.path, 'state')),
  };
});
afterAll(async () => {
  await universe.stop();
  await scratch.remove();
});

test('five instants over a chain of snapshots, while rows change and a table is altered, equal the model or are refused with their neighbours', async () => {
  const random = randomFrom(20);
  const ledger = new Ledger(rig, random);
  await ledger.begin();
  expect((await ledger.look()).exports).toEqual([]);
  const manifests = [];
  for (const altered of [false, true, false]) {
    await ledger.write();
    await ledger.write();
    if (altered) {
      await ledger.alter();
      // A look in between: from a second after it (clocks differ by so much) the window is sound.
      await ledger.look();
      await sleep(1_100);
      await ledger.write();
    }
    await ledger.write();
    await ledger.snapshot();
    manifests.push(...(await ledger.export()));
  }
  expect(manifests).toHaveLength(3);
  const windows = manifests.map(windowOf).filter((window) => window !== undefined);
  expect(windows).toHaveLength(3);
  const [first, second, third] = windows;
  if (first === undefined || second === undefined || third === undefined) throw new Error('no windows');
  // Nobody had looked at the schema before the first window began.
  expect(first.safeFrom > first.from).toBe(true);
  expect(third.safeFrom).toBe(third.from);
  expect(second.safeFrom > second.from).toBe(true);
  expect(second.safeFrom < second.to).toBe(true);
  expect(Date.parse(second.from) - Date.parse(first.to)).toBeLessThanOrEqual(1);

  const between = ({ from, to }: { readonly from: string; readonly to: string }) =>
    Math.floor(Date.parse(from) + random() * (Date.parse(to) - Date.parse(from)));
  const asked = [
    between({ from: first.safeFrom, to: first.to }),
    between({ from: second.from, to: second.safeFrom }) - 1,
    between({ from: second.safeFrom, to: second.to }),
    between(third),
    Date.parse(third.to),
  ];
  const answers = [];
  for (const [index, ms] of asked.entries()) answers.push(await ledger.ask(ms, `back_${index}`));
  expect(answers).toEqual([
    { kind: 'restored', problem: undefined },
    { kind: 'refused', problem: undefined },
    ...Array.from({ length: 3 }, () => ({ kind: 'restored', problem: undefined })),
  ]);

  // By us, though nobody asked the planner; and before anything is written: YugabyteDB would restore something.
  const backup = manifests[1];
  if (backup === undefined) throw new Error('no second backup');
  const ref = { repository: { name: 'main', location: { kind: 'directory', path: '' } }, ...backup } as const;
  const before = (await universe.view()).calls;
  const outside = [
    [second.from, 'INSTANT_BEFORE_DDL'],
    [new Date(Date.parse(second.from) - 1).toISOString(), 'INSTANT_NOT_IN_HISTORY'],
    [new Date(Date.parse(second.to) + 1).toISOString(), 'INSTANT_NOT_IN_HISTORY'],
  ] as const;
  for (const [at, code] of outside) {
    const refused = await restore(
      rig,
      { ref, manifest: backup },
      { [DATABASE]: 'never' },
      undefined,
      undefined,
      {
        at,
      },
    );
    expect(refused.error?.code).toBe(code);
  }
  const { import_snapshot, restore_snapshot } = (await universe.view()).calls;
  expect({ import_snapshot, restore_snapshot }).toEqual({
    import_snapshot: before.import_snapshot,
    restore_snapshot: before.restore_snapshot,
  });
});

test('a keyspace: an instant comes back by its exported snapshot; an export that failed is made again; of a window in which a table was altered only the end is left', async () => {
  const keyspace: Rig = { ...rig, source: sourceOf(universe, { databases: [], keyspaces: ['metrics'] }) };
  const plan = 'rig';
  const namespace = 'ycql.metrics';
  await query(
    universe.ycqlStoreUrl,
    'CREATE SCHEMA metrics',
    'CREATE TABLE metrics.samples (host text, at int, value float8, PRIMARY KEY (host, at))',
    "INSERT INTO metrics.samples SELECT 'host' || i % 5, i, i / 7.0 FROM generate_series(1, 60) i",
  );
  const samples = (name: string) =>
    query(universe.ycqlStoreUrl, `SELECT host, at, value FROM ${name}.samples ORDER BY host, at`);
  await said(universe, 'create_snapshot_schedule', '15', '240', namespace);
  const schedule = (await universe.view()).schedules.find((one) => one.namespace === namespace)?.id ?? '';
  const limits = { intervalMs: 900_000, retentionMs: 14_400_000, since: new Date().toISOString() };
  await writeScheduleRecord(rig.store, { plan, namespace, schedule, adopted: false, ...limits });
  const look = () => pendingExports(contextOf(rig, newRef()), rig.store, plan, keyspace.source);
  const complete = async () =>
    (await universe.view()).snapshots.filter((one) => one.schedule === schedule && one.state === 'COMPLETE')
      .length;
  await eventually('the first snapshot is complete', async () => (await complete()) === 1);
  expect((await look()).exports).toEqual([]);
  const exportNext = async (count: number) => {
    await universe.act({ do: 'takeScheduled' });
    await eventually('the next snapshot is complete', async () => (await complete()) === count);
    const [pending] = (await look()).exports;
    if (pending === undefined) throw new Error('nothing to export');
    return await backUp(keyspace, { pending });
  };

  // A look counts from a second after it.
  await sleep(1_100);
  await query(universe.ycqlStoreUrl, "INSERT INTO metrics.samples VALUES ('wanted', 1, 1)");
  await sleep(20);
  const at = new Date().toISOString();
  const wanted = await samples('metrics');
  await sleep(20);
  await query(universe.ycqlStoreUrl, 'DELETE FROM metrics.samples WHERE at % 2 = 0');
  const backup = await exportNext(2);
  const { outcome, error } = await restore(
    keyspace,
    backup,
    { metrics: 'metrics_then' },
    undefined,
    undefined,
    { at },
  );
  expect(error).toBeUndefined();
  expect(outcome).toMatchObject({ problems: [], unclear: true });
  expect(await samples('metrics_then')).toEqual(wanted);

  await universe.act({ do: 'takeScheduled' });
  await eventually('the third snapshot is complete', async () => (await complete()) === 3);
  const [failed] = (await look()).exports;
  const gone = { plan, backup: failed?.backup ?? '' };
  await discardBackup(rig.store, gone, 'its run has failed');
  const [again] = (await look()).exports;
  expect(again?.scheduled.snapshot).toBe(failed?.scheduled.snapshot);
  expect(again?.backup).not.toBe(failed?.backup);
  // One that retention deleted is not made again.
  await replaceSealed(rig.store, manifestKey(gone), tombstone(gone, 'retention', true));
  expect((await look()).exports).toEqual([]);

  await query(universe.ycqlStoreUrl, 'ALTER TABLE metrics.samples ADD COLUMN unit text');
  const altered = windowOf((await exportNext(4)).manifest);
  expect(altered?.safeFrom).toBe(altered?.to);
});
