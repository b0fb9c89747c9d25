import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Client } from 'pg';
import type { InClusterSummary } from '../../../model/in-cluster.ts';
import type { RecoveryDecision } from '../../../model/recovery.ts';
import type { ServerProcess } from '../../../parts/process.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { startTemporal, type TemporalServer } from '../../../parts/temporal.ts';
import { holdfast, holdfastJson } from '../../support/holdfast.ts';
import { eventually } from '../../support/processes.ts';
import { said, sql } from '../by-hand.ts';
import { startUniverse, type Universe } from '../launcher.ts';
import { startWorker } from './stage.ts';

/** `restore --to` where the plan has the universe keep history: by command line, workflow and yb-admin, without an agent or a backup. */
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
  await writeFile(plan, planText());
  environment = {
    ...universe.environment,
    YSQL_URL: universe.ysqlUrl,
    TEMPORAL_ADDRESS: temporal.address,
    HOLDFAST_STATE_DIR: path.join(scratch.path, 'state'),
  };
  worker = await startWorker('worker', [], environment, scratch.path);
  await sql(universe.ysql('yugabyte'), 'CREATE DATABASE orders');
  await sql(
    universe.ysql('orders'),
    'CREATE TABLE t (id int PRIMARY KEY, v text)',
    "INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 200) i",
  );
  await said(universe, 'create_snapshot_schedule', '60', '4320', 'ysql.orders');
  await eventually('the first snapshot is complete', async () =>
    (await universe.view()).snapshots.some(({ state }) => state === 'COMPLETE'),
  );
});
afterAll(async () => {
  await worker.stop();
  await temporal.stop();
  await universe.stop();
  await scratch.remove();
});

function planText(): string {
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
  pointTime: { inCluster: { interval: 1h, retention: 3d } }
`;
}

const rows = (database: string) => sql(universe.ysql(database), 'SELECT * FROM t ORDER BY id');
const json = <T>(...args: readonly string[]) => holdfastJson<T>(args, environment);

/** An instant between two whole milliseconds of changes. */
async function instantOf(change: string): Promise<string> {
  await sql(universe.ysql('orders'), change);
  const instant = new Date().toISOString();
  await new Promise((resolve) => setTimeout(resolve, 20));
  return instant;
}

test('an instant is reached by a clone, or in place with --replace, and what was there is kept', async () => {
  const instant = await instantOf("INSERT INTO t VALUES (1000, 'wanted')");
  const wanted = await rows('orders');
  await sql(universe.ysql('orders'), 'DELETE FROM t WHERE id % 2 = 0', "UPDATE t SET v = 'mistaken'");

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

test('killed half-way, the worker goes on where it was', async () => {
  const instant = await instantOf("INSERT INTO t VALUES (2000, 'before')");
  const wanted = await rows('orders');
  await sql(universe.ysql('orders'), 'DELETE FROM t');
  await universe.arm({
    operation: 'restore_snapshot_schedule',
    moment: 'before',
    actions: [{ do: 'delay', operation: 'restore_snapshot_schedule', ms: 2_000, times: 1 }],
  });
  const running = json<InClusterSummary>('restore', plan, '--to', instant, '--replace');
  await eventually(
    'the rewind is asked for',
    async () => ((await universe.view()).calls.restore_snapshot_schedule ?? 0) > 1,
  );
  await worker.kill9();
  await worker.restart();
  expect(await running).toMatchObject({ way: 'rewind', instant });
  expect(await rows('orders')).toEqual(wanted);
});
