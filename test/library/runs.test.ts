import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import {
  type CompiledPlan,
  connect,
  logs,
  openPlan,
  type RunView,
  requestRestore,
  startBackup,
  startRestore,
  startVerify,
  status,
  statuses,
  type Temporal,
  verificationFor,
} from '../../library/index.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';
import { type RunningCommand, startHoldfast } from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';

/** Runs that a program starts and follows by the library, on a Temporal and a worker that run already. */
let postgres: PostgresServer;
let server: TemporalServer;
let worker: RunningCommand;
let folder: string;
let temporal: Temporal;
let plan: CompiledPlan;
const access = { environment: {} };

beforeAll(async () => {
  [postgres, server] = await Promise.all([startPostgres(), startTemporal({ headless: true })]);
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-library-runs-'));
  await mkdir(path.join(folder, 'repository'));
  await query(postgres.url('postgres'), 'CREATE DATABASE orders');
  await query(
    postgres.url('orders'),
    'CREATE TABLE orders (id int PRIMARY KEY)',
    'INSERT INTO orders SELECT generate_series(1, 7)',
  );
  const file = path.join(folder, 'orders.yaml');
  await writeFile(file, repositoryDocument(folder) + planDocument('orders'));
  plan = await openPlan(file);
  temporal = await connect({ environment: { TEMPORAL_ADDRESS: server.address } });
  worker = startHoldfast(['worker', '--json'], {
    TEMPORAL_ADDRESS: server.address,
    ORDERS_DATABASE_URL: postgres.url('orders'),
  });
  await eventually('the worker polls', async () => worker.output() !== '');
});
afterAll(async () => {
  await temporal?.close();
  worker?.child.kill('SIGTERM');
  await worker?.end;
  await Promise.all([server?.stop(), postgres?.stop()]);
  await rm(folder, { recursive: true, force: true });
});

test('a backup is followed to its end and verified, and comes back', async () => {
  const run = await startBackup(temporal, plan);
  const views: RunView[] = [];
  for await (const view of run.follow({ everyMs: 50 })) views.push(view);
  expect(views.map(({ ended }) => ended)).toEqual([...views.slice(1).map(() => false), true]);
  expect(views.at(-1)?.progress).toMatchObject({ state: 'done' });
  const backup = await run.result();
  expect(backup).toMatchObject({ plan: 'orders', backup: run.id, rows: 7, verdict: 'OK' });
  expect(run.joined).toBe(false);

  const wish = await verificationFor(plan, { level: 'content' }, access);
  expect(wish).toEqual({ backup: run.id, level: 'content', archive: false });
  const verified = await (await startVerify(temporal, plan, wish)).result();
  expect(verified).toMatchObject({ backup: run.id, level: 'content', verdict: 'OK' });

  const restore = await startRestore(temporal, plan, { into: 'by_library', check: 'content' }, access);
  expect(await restore.result()).toMatchObject({ backup: run.id, restore: restore.id, verdict: 'OK' });
  expect(await query(postgres.url('by_library'), 'SELECT count(*)::int AS n FROM orders')).toEqual([
    { n: 7 },
  ]);

  const { type, isRunning, events } = await logs(temporal, run.workflowId);
  expect({ isRunning, type: typeof type, last: events.at(-1)?.kind }).toEqual({
    isRunning: false,
    type: 'string',
    last: 'ended',
  });
  expect(await status(temporal, plan, access)).toMatchObject({ applied: false, survey: { backups: 1 } });
  expect(await statuses(temporal)).toEqual([]);
});

test('a second backup joins the first, and one that is cancelled says so', async () => {
  const holder = new pg.Client(postgres.url('orders'));
  await holder.connect();
  try {
    // The backup waits for this lock.
    await holder.query('BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE');
    const first = await startBackup(temporal, plan);
    await eventually('it is listed', async () => {
      const second = await startBackup(temporal, plan);
      if (second.joined) return second.workflowId === first.workflowId;
      await second.cancel();
      return false;
    });
    await first.cancel();
    await expect(first.result()).rejects.toMatchObject({ code: 'CANCELLED', remedy: expect.any(String) });
  } finally {
    await holder.end();
  }
});

test('what can not be is refused before anything starts, with code and remedy', async () => {
  await expect(startRestore(temporal, plan, { backup: 'nope' }, access)).rejects.toMatchObject({
    code: 'USAGE',
  });
  await expect(startRestore(temporal, plan, { to: '-3650d' }, access)).rejects.toMatchObject({
    code: 'INSTANT_TOO_EARLY',
  });
  await expect(requestRestore(temporal, 'orders', { reason: 'x' })).rejects.toMatchObject({
    code: 'PLAN_NOT_APPLIED',
    remedy: expect.stringMatching(/./),
  });
  await expect(logs(temporal, 'nobody')).rejects.toMatchObject({ code: 'NO_SUCH_RUN' });
  await expect(connect({ environment: { TEMPORAL_ADDRESS: '127.0.0.1:1' } })).rejects.toMatchObject({
    code: 'TEMPORAL_UNREACHABLE',
  });
});
