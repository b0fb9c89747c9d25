import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { compile } from '../../compiler/compile.ts';
import { startBackup, startPrune, startRestore } from '../../library/runs.ts';
import type { RestoreSummary } from '../../model/backup.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { PruneOutcome } from '../../model/prune.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';
import { listBackups } from '../../repository/backups/list-backups.ts';
import { CRASH_POINTS, type CrashPoint } from '../../repository/crash-points.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { marksFolder } from '../../repository/layout.ts';
import { type ConnectedClient, connectClient } from '../../worker/connection.ts';
import type { BackupOutcome } from '../../workflows/messages.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { query } from '../support/sql.ts';
import { Workers } from './workers.ts';

/** `kill -9` between two lines that must not be torn apart: each point of `repository/crash-points.ts`, once. */
const BACKUP: readonly CrashPoint[] = [
  'put-written',
  'put-named',
  'upload-stored',
  'upload-result',
  'seal-kit',
  'seal-manifest',
];
const RESTORE: readonly CrashPoint[] = ['prepare-database', 'load-copied', 'load-committed'];
const REPLACE: readonly CrashPoint[] = [
  'finish-sealed',
  'finish-dropped',
  'exchange-closed',
  'exchange-done',
];
/** Struck in test/ysql/archive: the first in capture.test.ts, the others in replay.test.ts. */
const ARCHIVE: readonly CrashPoint[] = ['archive-stored', 'replay-before-commit', 'replay-committed'];
const DELETE: readonly CrashPoint[] = ['delete-marked', 'delete-tombstone', 'delete-swept'];

const ROWS = 2_000;
/** As in the plan below. */
const GRACE_MS = 1_000;

let scratch: ScratchFolder;
let postgres: PostgresServer;
let temporal: TemporalServer;
let workers: Workers;
let client: ConnectedClient;
/** As many as there are points of a kind, so that each has a run of its own to strike. */
let plans: readonly CompiledPlan[];
/** Of the first plan. */
let backup: string;

beforeAll(async () => {
  scratch = await createScratchFolder('crash-points');
  [postgres, temporal] = await Promise.all([
    startPostgres(),
    startTemporal({ dbFile: join(scratch.path, 'temporal.db'), headless: true }),
  ]);
  await Promise.all(['repository', 'points'].map((name) => mkdir(join(scratch.path, name))));
  await query(postgres.url(), 'CREATE DATABASE orders');
  await query(
    postgres.url('orders'),
    'CREATE TABLE orders (id int PRIMARY KEY, item text)',
    'CREATE INDEX ON orders (item)',
    `INSERT INTO orders SELECT i, 'item ' || i FROM generate_series(1, ${ROWS}) i`,
    'CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE $m$no drops here$m$; END $$',
    'CREATE EVENT TRIGGER refuse ON sql_drop EXECUTE FUNCTION refuse()',
  );
  workers = await Workers.start(
    2,
    {
      TEMPORAL_ADDRESS: temporal.address,
      ORDERS_DATABASE_URL: postgres.url('orders'),
      HOLDFAST_CRASH_POINTS: join(scratch.path, 'points'),
    },
    scratch.path,
  );
  client = await connectClient(temporal.address);
  const names = BACKUP.map((_, index) => `orders-${index + 1}`);
  const documents = names.map((name) => planDocument(name, '  retention: { keepLast: 1, grace: 1s }\n'));
  const text = repositoryDocument(scratch.path) + documents.join('');
  ({ plans } = compile([{ path: 'points.yaml', text }]));
  expect(plans).toHaveLength(BACKUP.length);
});

afterAll(async () => {
  await workers?.stop();
  await client?.connection.close();
  await postgres?.stop();
  await temporal?.stop();
  await scratch?.remove();
});

const place = () => ({ client: client.client, taskQueue: client.target.taskQueue });

const first = () => {
  const [plan] = plans;
  if (plan === undefined) throw new Error('the plans have errors');
  return plan;
};

/** Runs `work` with the points armed; each must have been struck by the end. */
async function struck<T>(points: readonly CrashPoint[], work: () => Promise<T>): Promise<T> {
  const armed = () => points.filter((point) => existsSync(join(scratch.path, 'points', point)));
  for (const point of points) await writeFile(join(scratch.path, 'points', point), '');
  const result = await work();
  expect(armed()).toEqual([]);
  // What killed itself is started again, by us as by a service manager.
  expect(workers.takeOwnExits().length).toBeGreaterThan(0);
  await workers.ready();
  return result;
}

async function backUp(plan = first()): Promise<string> {
  const { id, workflowId } = await startBackup(place(), plan);
  const outcome = (await client.client.workflow.getHandle(workflowId).result()) as BackupOutcome;
  expect(outcome.summary).toMatchObject({ rows: ROWS });
  return id;
}

async function restore(wishes: Omit<Parameters<typeof startRestore>[2], 'backup'>): Promise<RestoreSummary> {
  const { workflowId } = await startRestore(place(), first(), {
    backup,
    check: 'content',
    safety: false,
    ...wishes,
  });
  return (await client.client.workflow.getHandle(workflowId).result()) as RestoreSummary;
}

async function prune(plan: CompiledPlan): Promise<PruneOutcome> {
  const { workflowId } = await startPrune(place(), plan, {});
  return (await client.client.workflow.getHandle(workflowId).result()) as PruneOutcome;
}

const content = async (database: string) =>
  (
    await query(
      postgres.url(database),
      `SELECT count(*)::int AS rows, md5(string_agg(o::text, ',' ORDER BY id)) AS hash FROM orders o`,
    )
  )[0];

const leftOfRestore = (database: string) =>
  query(
    postgres.url(database),
    `SELECT nspname FROM pg_namespace WHERE nspname LIKE 'holdfast%'
     UNION ALL SELECT evtname FROM pg_event_trigger WHERE evtenabled = 'D'`,
  );

const databases = async () =>
  (await query(postgres.url(), 'SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1')).map(
    ({ datname }) => String(datname),
  );

test('backups get over a kill at each of their points', async () => {
  const backups = await struck(BACKUP, () => Promise.all(plans.map((plan) => backUp(plan))));
  for (const [index, id] of backups.entries()) {
    backup = id;
    const copy = `copy_${index}`;
    const { workflowId } = await startRestore(place(), plans[index] ?? first(), {
      ...{ backup, check: 'content', into: { orders: copy } },
    });
    expect(await client.client.workflow.getHandle(workflowId).result()).toMatchObject({
      ...{ verdict: 'OK', rows: ROWS },
    });
    expect(await content(copy)).toEqual(await content('orders'));
    await query(postgres.url(), `DROP DATABASE ${copy}`);
  }
  backup = backups[0] ?? '';
});

test('restores get over a kill at each of their points', async () => {
  const copies = RESTORE.map((_, index) => `copy_${index}`);
  const summaries = await struck(RESTORE, () =>
    Promise.all(copies.map((copy) => restore({ into: { orders: copy } }))),
  );
  expect(summaries).toMatchObject(copies.map(() => ({ verdict: 'OK', rows: ROWS })));
  for (const copy of copies) {
    expect(await content(copy)).toEqual(await content('orders'));
    expect(await leftOfRestore(copy)).toEqual([]);
    await query(postgres.url(), `DROP DATABASE ${copy}`);
  }
});

test.each(REPLACE)('a restore over a database gets over a kill at %s', async (point) => {
  const wanted = await content('orders');
  await query(postgres.url('orders'), `INSERT INTO orders VALUES (${ROWS + 1}, 'written since')`);
  const before = await databases();
  const summary = await struck([point], () => restore({ replace: true }));
  expect(summary).toMatchObject({ verdict: 'OK', rows: ROWS });
  const [kept] = summary.databases.map((one) => one.kept ?? '');
  expect(await content('orders')).toEqual(wanted);
  expect(await content(kept ?? '')).toMatchObject({ rows: ROWS + 1 });
  expect(await leftOfRestore('orders')).toEqual([]);
  expect(await databases()).toEqual([...before, kept].sort());
  await query(postgres.url(), `DROP DATABASE "${kept}"`);
});

test('prunes get over a kill at each of their points', async () => {
  const pruned = plans.slice(0, DELETE.length);
  const newest = await Promise.all(
    pruned.map(async (plan) => {
      await backUp(plan);
      return await backUp(plan);
    }),
  );
  const pruneAll = () => Promise.all(pruned.map((plan) => prune(plan)));
  // This one marks what no rule keeps; the next may delete it, once its time of grace is over.
  await pruneAll();
  await sleep(GRACE_MS + 100);
  await struck(DELETE, pruneAll);
  await pruneAll();
  const store = new DirectoryStore(join(scratch.path, 'repository'));
  for (const [index, { name }] of pruned.entries()) {
    const { backups, unusable } = await listBackups(store, name);
    expect(backups.map((one) => one.backup)).toEqual([newest[index]]);
    expect(unusable.filter(({ state }) => state !== 'discarded')).toEqual([]);
    const marks = await Array.fromAsync(store.list(marksFolder(name)), ({ key }) => key);
    expect(marks).toEqual([]);
  }
  backup = newest[0] ?? '';
  expect(await restore({ into: { orders: 'copy_after_prune' } })).toMatchObject({
    verdict: 'OK',
    rows: ROWS,
  });
});

test('every point is struck, and stands in the page', async () => {
  expect([...BACKUP, ...RESTORE, ...REPLACE, ...DELETE, ...ARCHIVE].sort()).toEqual(
    Object.keys(CRASH_POINTS).sort(),
  );
  const page = await readFile(join(import.meta.dirname, '..', '..', 'docs', 'crash-campaign.md'), 'utf8');
  for (const [point, what] of Object.entries(CRASH_POINTS))
    expect(page).toContain(`| \`${point}\` | ${what} |`);
});
