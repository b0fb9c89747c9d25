import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { InClusterSummary } from '../../../model/in-cluster.ts';
import type { RecoveryDecision } from '../../../model/recovery.ts';
import type { ServerProcess } from '../../../parts/process.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { startTemporal, type TemporalServer } from '../../../parts/temporal.ts';
import { holdfast, holdfastJson, startHoldfast } from '../../support/holdfast.ts';
import { eventually } from '../../support/processes.ts';
import { query } from '../../support/sql.ts';
import { startUniverse, type Universe } from '../launcher.ts';
import { putBack, startAgain } from './rolled-back.ts';
import { startWorker } from './stage.ts';

/** Plans that have the universe keep history: `apply` and `restore --to`, by command line, entity, workflow and yb-admin, without an agent or a backup. */
const HISTORY = 'pointTime: { inCluster: { interval: 1h, retention: 3d } }\n  restore: { approval: none }';

let universe: Universe;
let temporal: TemporalServer;
let worker: ServerProcess;
let scratch: ScratchFolder;
let plan: string;
let environment: Readonly<Record<string, string>>;

beforeAll(async () => {
  scratch = await createScratchFolder('in-cluster-stage');
  [universe, temporal] = await Promise.all([startUniverse(), startTemporal({ headless: true })]);
  await mkdir(path.join(scratch.path, 'repository'));
  plan = path.join(scratch.path, 'plan.yaml');
  await writeFile(plan, planText(HISTORY));
  environment = {
    ...universe.environment,
    YSQL_URL: universe.ysqlUrl,
    TEMPORAL_ADDRESS: temporal.address,
    HOLDFAST_STATE_DIR: path.join(scratch.path, 'state'),
  };
  worker = await startWorker('worker', [], environment, scratch.path);
  await query(universe.ysql('yugabyte'), 'CREATE DATABASE orders');
  await query(
    universe.ysql('orders'),
    'CREATE TABLE t (id int PRIMARY KEY, v text)',
    "INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 200) i",
  );
  await json('apply', plan, '--yes');
  await eventually('the first snapshot is complete', hasSnapshot);
});
afterAll(async () => {
  await worker.stop();
  await temporal.stop();
  await universe.stop();
  await scratch.remove();
});

function planText(rest: string): string {
  return `apiVersion: holdfast/v1
kind: Repository
metadata: { name: main }
spec: { directory: ${path.join(scratch.path, 'repository')} }
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: orders }
spec:
  source:
    universe:
      masters: [${universe.masters.join(', ')}]
      ysql: { connection: { env: YSQL_URL } }
      databases: [orders]
      patience: { snapshot: 30s, restoration: 30s }
  repository: main
  ${rest}
`;
}

/** One that a schedule made, and that can be gone back from. */
const hasSnapshot = async () =>
  (await universe.view()).snapshots.some(
    ({ state, schedule }) => state === 'COMPLETE' && schedule !== undefined,
  );
const rows = (database: string) => query(universe.ysql(database), 'SELECT * FROM t ORDER BY id');
const json = <T>(...args: readonly string[]) => holdfastJson<T>(args, environment);

/** Makes a change; an instant that has it, and nothing that comes later. */
async function instantOf(change: string): Promise<string> {
  await query(universe.ysql('orders'), change);
  return await betweenChanges();
}

/** An instant after all that was committed and before what follows: a commit's time has microseconds, which an instant cuts off. */
async function betweenChanges(): Promise<string> {
  await sleep(20);
  const instant = new Date().toISOString();
  await sleep(20);
  return instant;
}

test('an instant is reached by a clone, or in place with --replace, and what was there is kept', async () => {
  const instant = await instantOf("INSERT INTO t VALUES (1000, 'wanted')");
  const wanted = await rows('orders');
  await query(universe.ysql('orders'), 'DELETE FROM t WHERE id % 2 = 0', "UPDATE t SET v = 'mistaken'");

  const explained = await json<{ decision: RecoveryDecision }>(
    'restore',
    plan,
    '--to',
    instant,
    '--replace',
    '--explain',
  );
  expect(explained.decision).toMatchObject({
    kind: 'restore',
    way: 'rewind',
    instant,
    why: expect.stringContaining('exactly the data'),
  });

  const cloned = await json<InClusterSummary>('restore', plan, '--to', instant, '--into', 'orders_then');
  expect(cloned).toMatchObject({
    way: 'clone',
    instant,
    databases: [{ from: 'orders', to: 'orders_then' }],
    chores: [],
  });
  expect(await rows('orders_then')).toEqual(wanted);

  const rewound = await json<InClusterSummary>('restore', plan, '--to', instant, '--replace');
  expect(rewound).toMatchObject({
    way: 'rewind',
    instant,
    safetySnapshots: { orders: expect.stringMatching(/^[0-9a-f-]{36}$/) },
  });
  expect(await rows('orders')).toEqual(wanted);
  expect(
    (await universe.view()).snapshots.find(({ id }) => id === rewound.safetySnapshots.orders)?.state,
  ).toBe('COMPLETE');
});

test('a database that is written to is not rewound; nor is one before its history; nor are single tables', async () => {
  const instant = await instantOf("UPDATE t SET v = 'later' WHERE id = 1");
  const writer = new Client({ connectionString: universe.ysql('orders') });
  await writer.connect();
  await writer.query("BEGIN; UPDATE t SET v = 'under way'");
  const refused = await holdfast(['restore', plan, '--to', instant, '--replace', '--json'], environment);
  expect({ code: refused.code, error: JSON.parse(refused.stdout) }).toMatchObject({
    code: 1,
    error: { error: { code: 'WRITES_NOT_STOPPED' } },
  });
  await writer.query('ROLLBACK');
  await writer.end();

  const early = await holdfast(['restore', plan, '--to', '-30d', '--replace', '--json'], environment);
  expect({ code: early.code, error: JSON.parse(early.stdout) }).toMatchObject({
    code: 1,
    error: { error: { code: 'INSTANT_TOO_EARLY' } },
  });
  const tables = await holdfast(['restore', plan, '--to', instant, '--tables', 'public.t'], environment);
  expect(tables.code).toBe(1);
  expect(tables.stderr).toContain('takes the whole database');
});

test('the universe has one schedule however often the plan is applied; it changes with the plan, and goes with the wish; what overwrites waits for approval', async () => {
  const schedules = async () => (await universe.view()).schedules;
  const [made] = await schedules();
  expect(await schedules()).toEqual([{ id: expect.any(String), namespace: 'ysql.orders' }]);
  await json('apply', plan, '--yes');
  expect(await schedules()).toEqual([made]);
  await writeFile(plan, planText('pointTime: { inCluster: { interval: 30m, retention: 3d } }'));
  await json('apply', plan, '--yes');
  expect(await schedules()).toEqual([made]);

  const instant = await instantOf("INSERT INTO t VALUES (3000, 'approved')");
  const wanted = await rows('orders');
  await query(universe.ysql('orders'), 'DELETE FROM t');
  const waiting = startHoldfast(['restore', plan, '--to', instant, '--replace', '--json'], environment);
  await eventually('it asks for approval', async () => waiting.progress().includes('waits for approval'));
  expect(waiting.progress()).toContain('A rewind by the snapshot schedule');
  expect(await rows('orders')).toEqual([]);
  await json('approve', plan);
  expect(JSON.parse((await waiting.end).stdout)).toMatchObject({ way: 'rewind', instant });
  expect(await rows('orders')).toEqual(wanted);
  await eventually('the window shows it', async () =>
    JSON.stringify(await json('status', plan)).includes('"way":"rewind"'),
  );

  const { checks } = JSON.parse((await holdfast(['doctor', plan, '--json'], environment)).stdout) as {
    checks: readonly { name: string; ok: boolean; detail: string }[];
  };
  expect(checks.find(({ name }) => name === 'the universe keeps history')).toMatchObject({
    ok: true,
    detail: expect.stringMatching(/^every instant since/),
  });

  await writeFile(plan, planText('restore: { approval: none }'));
  await json('apply', plan, '--yes');
  await eventually('the schedule is gone', async () => (await schedules()).length === 0);
});

test('killed half-way, the worker goes on where it was', async () => {
  await writeFile(plan, planText(HISTORY));
  await json('apply', plan, '--yes');
  await eventually('the first snapshot is complete', hasSnapshot);
  const instant = await instantOf("INSERT INTO t VALUES (2000, 'before')");
  const wanted = await rows('orders');
  await query(universe.ysql('orders'), 'DELETE FROM t');
  await universe.arm({
    operation: 'restore_snapshot_schedule',
    moment: 'before',
    actions: [{ do: 'delay', operation: 'restore_snapshot_schedule', ms: 2_000, times: 1 }],
  });
  const asked = async () => (await universe.view()).calls.restore_snapshot_schedule ?? 0;
  const before = await asked();
  const running = json<InClusterSummary>('restore', plan, '--to', instant, '--replace');
  await eventually('the rewind is asked for', async () => (await asked()) > before);
  await worker.kill9();
  await worker.restart();
  expect(await running).toMatchObject({ way: 'rewind', instant });
  expect(await rows('orders')).toEqual(wanted);
});

/** A rewind that has come to its end, and a row that was written after it. */
async function rewoundAndWrittenTo(id: number): Promise<InClusterSummary> {
  await query(universe.ysql('orders'), 'DELETE FROM t WHERE id > 100');
  const instant = await instantOf(`INSERT INTO t VALUES (${id}, 'before')`);
  await query(universe.ysql('orders'), 'DELETE FROM t');
  const rewound = await json<InClusterSummary>('restore', plan, '--to', instant, '--replace');
  await query(universe.ysql('orders'), `INSERT INTO t VALUES (${id + 1}, 'written since')`);
  return rewound;
}

test('a Temporal that is put back to before a finished rewind does not rewind again', async () => {
  const rewound = await rewoundAndWrittenTo(4000);
  const wanted = await rows('orders');
  const asked = async () => (await universe.view()).calls.restore_snapshot_schedule ?? 0;
  const before = await asked();

  const run = { address: temporal.address, workflowId: `restore:orders:${rewound.restore}` };
  const again = (await putBack(run, 'goBackInCluster')) as InClusterSummary;
  expect(await rows('orders')).toEqual(wanted);
  expect(again.notes).toEqual([
    expect.stringMatching(/^orders was taken back at .*: what was written since stands\.$/),
  ]);

  await expect(putBack(run, 'checkInCluster')).rejects.toMatchObject({
    cause: {
      type: 'RESTORE_ENDED_BEFORE',
      message: expect.stringContaining('orders was taken back at'),
    },
  });
  expect(await rows('orders')).toEqual(wanted);
  expect(await asked()).toBe(before);
});

test('a rewind that was asked for without a repository runs, and says that nothing keeps it from running twice', async () => {
  const rewound = await rewoundAndWrittenTo(5000);
  const run = { address: temporal.address, workflowId: `restore:orders:${rewound.restore}` };
  const again = await startAgain<InClusterSummary>(run, ({ repository: _, ...request }) => ({
    ...request,
    restore: `${rewound.restore}b`,
  }));
  expect(again).toMatchObject({
    way: 'rewind',
    notes: [expect.stringContaining('put back to an older state')],
  });
});

test('a YCQL keyspace is rewound as a database is', async () => {
  const file = path.join(scratch.path, 'metrics.yaml');
  const text = planText(HISTORY)
    .replace('metadata: { name: orders }', 'metadata: { name: metrics }')
    .replace('databases: [orders]', 'keyspaces: [metrics]');
  await writeFile(file, text);
  const store = universe.ycqlStoreUrl;
  const samples = (keyspace: string) => query(store, `SELECT * FROM ${keyspace}.samples ORDER BY host, at`);
  await query(
    store,
    'CREATE SCHEMA metrics',
    'CREATE TABLE metrics.samples (host text, at int, value float8, PRIMARY KEY (host, at))',
    "INSERT INTO metrics.samples SELECT 'host' || i % 5, i, i / 7.0 FROM generate_series(1, 200) i",
  );
  await json('apply', file, '--yes');
  const hasHistory = async () => {
    const { schedules, snapshots } = await universe.view();
    const schedule = schedules.find(({ namespace }) => namespace === 'ycql.metrics')?.id;
    return snapshots.some((one) => one.schedule === schedule && one.state === 'COMPLETE');
  };
  await eventually('the first snapshot of the keyspace is complete', hasHistory);
  await query(store, "INSERT INTO metrics.samples VALUES ('wanted', 1, 1)");
  const instant = await betweenChanges();
  const wanted = await samples('metrics');
  await query(store, 'DELETE FROM metrics.samples WHERE at % 2 = 0', 'UPDATE metrics.samples SET value = 0');

  const rewound = await json('restore', file, '--to', instant, '--replace');
  expect(rewound).toMatchObject({ way: 'rewind', instant, safetySnapshots: { metrics: expect.any(String) } });
  expect(await samples('metrics')).toEqual(wanted);
});
