import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import type { DrillOutcome } from '../../model/drill.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import {
  type CommandEnd,
  holdfast,
  holdfastJson,
  type RunningCommand,
  startHoldfast,
} from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';

/** Drills as an operator runs them, on a real PostgreSQL and the embedded Temporal. */
let postgres: PostgresServer;
let folder: string;
let environment: NodeJS.ProcessEnv;
let server: RunningCommand;
/** Of plan `orders`, which most drills rehearse. */
let backup: string;

beforeAll(async () => {
  postgres = await startPostgres();
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-drill-'));
  await mkdir(path.join(folder, 'repository'));
  environment = {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    ORDERS_DATABASE_URL: postgres.url('orders'),
    NOWHERE_URL: 'postgresql://nobody:nothing@127.0.0.1:1/nowhere',
  };
  await sql('postgres', 'CREATE DATABASE orders');
  await sql(
    'orders',
    `CREATE TABLE orders (id int PRIMARY KEY, state text NOT NULL);
     INSERT INTO orders SELECT n, CASE WHEN n % 3 = 0 THEN 'new' ELSE 'paid' END FROM generate_series(1, 3000) n`,
  );
  server = startHoldfast(['dev', '--json'], environment);
  await eventually('the embedded server answers', async () => server.output() !== '');
  backup = await backUp(await planFile('plain', 'orders', '{}'));
});
afterAll(async () => {
  server.child.kill('SIGTERM');
  await server.end;
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
});

/** A plan file; files of one plan name share its backups, and differ in their drills. */
async function planFile(file: string, name: string, drill: string): Promise<string> {
  const plan = path.join(folder, `${file}.yaml`);
  await writeFile(
    plan,
    repositoryDocument(folder) +
      planDocument(name, `  steps: [snapshot, export, upload]\n  drill: ${drill}\n`),
  );
  return plan;
}

async function backUp(plan: string): Promise<string> {
  return (await holdfastJson<{ backup: string }>(['backup', plan], environment)).backup;
}

const sql = (database: string, statements: string) => query(postgres.url(database), statements);

async function databases(): Promise<readonly string[]> {
  const rows = await sql('postgres', 'SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1');
  return rows.map(({ datname }) => datname);
}

async function drill(plan: string): Promise<{ code: CommandEnd['code']; outcome: DrillOutcome }> {
  const { code, stdout } = await holdfast(['drill', plan, '--json'], environment);
  return { code, outcome: JSON.parse(stdout) as DrillOutcome };
}

test('a drill whose assertions hold is OK, exit code 0, and the ledger has the measured time', async () => {
  const plan = await planFile(
    'good',
    'orders',
    `
    assertions:
      - { name: there are orders, sql: SELECT count(*) FROM public.orders, expect: { min: 1, max: 3000 } }
      - { name: by state, sql: "SELECT state, count(*) FROM public.orders GROUP BY 1 ORDER BY 1", expect: { rows: [[new, 1000], [paid, 2000]] } }
      - { name: is keyed, sql: "SELECT count(*) > 0 FROM pg_constraint WHERE conrelid = 'public.orders'::regclass", expect: true }`,
  );
  const { code, outcome } = await drill(plan);
  expect({ code, outcome }).toMatchObject({
    code: 0,
    outcome: { plan: 'orders', backup, verdict: 'OK', problems: [] },
  });
  expect(outcome.assertions).toHaveLength(3);
  const ledger = path.join(folder, 'repository', 'verified', 'orders', backup);
  const reports = await Promise.all(
    (await readdir(ledger)).map((name) => readFile(path.join(ledger, name), 'utf8')),
  );
  expect(reports).toEqual([expect.stringMatching(new RegExp(`"restoreMs": ?${outcome.restoreMs}`))]);
  expect(await databases()).toEqual(['orders', 'postgres']);
});

test('an assertion that does not hold makes it FAILED, exit code 1, and is named', async () => {
  const plan = await planFile(
    'wrong',
    'orders',
    `{ assertions: [{ name: nothing is open, sql: "SELECT count(*) FROM public.orders WHERE state = 'new'", expect: 0 }] }`,
  );
  const { code, outcome } = await drill(plan);
  expect({ code, outcome }).toMatchObject({
    code: 1,
    outcome: {
      verdict: 'FAILED',
      problems: [expect.stringMatching(/"nothing is open".*expected 0, and got 1000/)],
    },
  });
  expect(await databases()).toEqual(['orders', 'postgres']);
});

test('one flipped byte makes it FAILED, and names the object', async () => {
  const plan = await planFile('damaged', 'damaged', '{}');
  const damaged = await backUp(plan);
  const data = path.join(folder, 'repository', 'backups', 'damaged', damaged, 'data');
  const [object = ''] = (await readdir(data, { recursive: true })).filter((name) => name.endsWith('.zst'));
  const bytes = await readFile(path.join(data, object));
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  await writeFile(path.join(data, object), bytes);
  const { code, outcome } = await drill(plan);
  expect({ code, outcome }).toMatchObject({
    code: 1,
    outcome: {
      backup: damaged,
      verdict: 'FAILED',
      problems: [expect.stringContaining(path.basename(object))],
    },
  });
  expect(await databases()).toEqual(['orders', 'postgres']);
});

test('a server that can’t be reached makes it INCONCLUSIVE, exit code 3', async () => {
  const plan = await planFile('nowhere', 'orders', '{ connection: { env: NOWHERE_URL }, timeout: 5s }');
  const { code, outcome } = await drill(plan);
  expect({ code, outcome }).toMatchObject({ code: 3, outcome: { verdict: 'INCONCLUSIVE' } });
});

test('what a terminated drill left is dropped by the next one, and by no prune forgotten', async () => {
  const asking = await planFile(
    'terminated',
    'orders',
    '{ assertions: [{ sql: "SELECT count(*) FROM public.orders, pg_sleep(60)", expect: 3000 }] }',
  );
  const { workflowId } = await holdfastJson<{ workflowId: string }>(
    ['drill', asking, '--detach'],
    environment,
  );
  await eventually('the copy is there and asked', async () => {
    const rows = await sql(
      'postgres',
      "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'FETCH%' AND datname LIKE '%_restoring_drill%'",
    );
    return rows.length > 0;
  });
  const { address } = JSON.parse(server.output()) as { address: string };
  const connection = await Connection.connect({ address });
  await new Client({ connection }).workflow.getHandle(workflowId).terminate('by hand');
  await connection.close();
  await holdfastJson(['prune', asking], environment);
  expect(await databases()).toEqual(['orders', expect.stringContaining('_restoring_drill'), 'postgres']);

  const { outcome } = await drill(await planFile('next', 'orders', '{}'));
  expect(outcome.verdict).toBe('OK');
  expect(await databases()).toEqual(['orders', 'postgres']);
});

test('kill -9 of the worker in the middle of a drill costs neither the verdict nor leaves the copy', async () => {
  const plan = await planFile(
    'killed',
    'orders',
    '{ assertions: [{ sql: "SELECT count(*) FROM public.orders, pg_sleep(3)", expect: 3000 }] }',
  );
  const command = startHoldfast(['drill', plan, '--json'], environment);
  await eventually('the copy is there and asked', async () => {
    const rows = await sql(
      'postgres',
      "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'FETCH%' AND datname LIKE '%_restoring_drill%'",
    );
    return rows.length > 0;
  });
  const state = await readFile(path.join(folder, 'state', 'embedded.json'), 'utf8');
  const { workers } = JSON.parse(state) as { workers: Record<string, number> };
  for (const pid of Object.values(workers)) process.kill(pid, 'SIGKILL');
  const { code, stdout } = await command.end;
  expect({ code, outcome: JSON.parse(stdout) }).toMatchObject({ code: 0, outcome: { verdict: 'OK' } });
  expect(await databases()).toEqual(['orders', 'postgres']);
});
