import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import type { BackupSummary, RestoreSummary, VerifyReport } from '../../model/backup.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { holdfast, holdfastJson, startHoldfast } from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { eventually, isRunning } from '../support/processes.ts';
import { query } from '../support/sql.ts';

/** The command line as a new user drives it: real PostgreSQL, a directory repository, the embedded Temporal and worker. */
let postgres: PostgresServer;
let folder: string;
let plan: string;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  postgres = await startPostgres();
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-e2e-'));
  await mkdir(path.join(folder, 'repository'));
  plan = path.join(folder, 'orders.yaml');
  await writeFile(plan, planText());
  environment = {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    ORDERS_DATABASE_URL: postgres.url('orders'),
  };
  await sql('postgres', 'CREATE DATABASE orders');
  await sql(
    'orders',
    `CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text NOT NULL);
     INSERT INTO orders (note) SELECT repeat(md5(n::text), 10) FROM generate_series(1, 60000) n;
     CREATE TABLE "Odd ""name""" ("a.b" int); INSERT INTO "Odd ""name""" VALUES (1), (NULL);`,
  );
});
afterAll(async () => {
  await holdfast(['dev', '--stop'], environment);
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
});

function planText(): string {
  return repositoryDocument(folder) + planDocument('orders', '', ', chunkSize: 1MiB');
}

const sql = (database: string, statements: string) => query(postgres.url(database), statements);

const digest = (database: string): Promise<unknown> =>
  sql(
    database,
    `SELECT (SELECT (count(*), sum(hashtextextended(t::text, 0)::numeric))::text FROM orders t) AS orders,
              (SELECT (count(*), sum(hashtextextended(t::text, 0)::numeric))::text FROM "Odd ""name""" t) AS odd`,
  );

async function embeddedPids(): Promise<number[]> {
  const text = await readFile(path.join(folder, 'state', 'embedded.json'), 'utf8');
  const { serverPid, workers } = JSON.parse(text) as { serverPid: number; workers: Record<string, number> };
  return [serverPid, ...Object.values(workers)];
}

test('backup, list, show, verify and restore bring every row back, and leave no process behind', async () => {
  const made = await holdfastJson<BackupSummary & { verdict: string }>(['backup', plan], environment);
  expect(made).toMatchObject({ plan: 'orders', rows: 60_002, tables: 2, verdict: 'OK' });
  for (const pid of await embeddedPids()) expect(await isRunning(pid)).toBe(false);

  const listed = await holdfastJson<{ backups: { backup: string }[] }>(['list', plan], environment);
  expect(listed.backups.map(({ backup }) => backup)).toContain(made.backup);
  const shown = await holdfastJson<{ totals: { rows: number } }>(['show', plan, made.backup], environment);
  expect(shown.totals.rows).toBe(60_002);

  const verified = await holdfastJson<VerifyReport>(
    ['verify', plan, made.backup, '--level', 'restore'],
    environment,
  );
  expect(verified).toMatchObject({ verdict: 'OK', level: 'restore', problems: [] });

  const restored = await holdfastJson<RestoreSummary>(
    ['restore', plan, '--into', 'orders_copy'],
    environment,
  );
  expect(restored).toMatchObject({ verdict: 'OK', rows: 60_002 });
  expect(await digest('orders_copy')).toEqual(await digest('orders'));
  const rows = await sql('postgres', 'SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1');
  expect(rows.map(({ datname }) => datname)).toEqual(['orders', 'orders_copy', 'postgres']);
});

test('kill -9 of the command loses nothing: the next call follows the same run to its end', async () => {
  const first = startHoldfast(['backup', plan], environment);
  await eventually('the backup has begun', async () => /^Backup \S+ of orders/m.test(first.progress()));
  const [, backup] = /^Backup (\S+) of orders/m.exec(first.progress()) ?? [];
  first.child.kill('SIGKILL');
  await first.end;
  const second = await holdfastJson<BackupSummary>(['backup', plan], environment);
  // Where the run had ended before the second call came, that call made a backup of its own.
  const { backups } = await holdfastJson<{ backups: { backup: string }[] }>(['list', plan], environment);
  expect(backups.map((entry) => entry.backup)).toEqual(expect.arrayContaining([backup, second.backup]));
});

test('kill -9 of the embedded server and worker is mended by the command that follows the run', async () => {
  // A lock that the backup waits for keeps the run from ending before they are killed.
  const locker = new pg.Client({ connectionString: postgres.url('orders') });
  await locker.connect();
  await locker.query('BEGIN; LOCK TABLE orders');
  const command = startHoldfast(['backup', plan, '--new', '--json'], environment);
  try {
    await eventually('the run is followed', async () => /^Backup \S+ of orders/m.test(command.progress()));
    for (const pid of await embeddedPids()) process.kill(pid, 'SIGKILL');
    await eventually('the command has noticed', async () => command.progress().includes('has died'));
  } finally {
    await locker.end();
  }
  const { code, stdout } = await command.end;
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ rows: 60_002, verdict: 'OK' });
});

test('a wrong password ends with one sentence, exit code 1, and nothing in the repository', async () => {
  const before = await readdir(path.join(folder, 'repository', 'backups', 'orders'));
  const wrong = postgres.url('orders').replace(encodeURIComponent(postgres.password), 'not-the-password');
  const { code, stdout } = await holdfast(['backup', plan, '--new', '--json'], {
    ...environment,
    ORDERS_DATABASE_URL: wrong,
  });
  expect(code).toBe(1);
  const { error } = JSON.parse(stdout) as { error: { message: string } };
  expect(error.message).toMatch(/password/);
  expect(error.message).not.toContain('not-the-password');
  const { backups } = await holdfastJson<{ backups: unknown[] }>(['list', plan], environment);
  expect(backups).toHaveLength(before.length);
});

test('no secret is in Temporal’s history', async () => {
  const dev = startHoldfast(['dev', '--json'], environment);
  try {
    await eventually(
      'the server is up',
      async () => (await fileText('embedded.json')) !== '' && dev.progress() !== '',
    );
    const { port } = JSON.parse(await fileText('embedded.json')) as { port: number };
    const connection = await Connection.connect({ address: `127.0.0.1:${port}` });
    const client = new Client({ connection });
    let runs = 0;
    for await (const run of client.workflow.list()) {
      const history = await client.workflow.getHandle(run.workflowId, run.runId).fetchHistory();
      const text = withPayloads(JSON.stringify(history));
      // The gate of a source knows of no plan.
      if (run.type !== 'sourceGate') expect(text).toContain('ORDERS_DATABASE_URL');
      expect(text).not.toContain(postgres.password);
      runs += 1;
    }
    await connection.close();
    expect(runs).toBeGreaterThan(3);
  } finally {
    dev.child.kill('SIGINT');
    await dev.end;
  }
});

function fileText(name: string): Promise<string> {
  return readFile(path.join(folder, 'state', name), 'utf8');
}

/** A history's JSON has payloads as base64; here as what they say. */
function withPayloads(json: string): string {
  return json.replace(/"data":"([^"]+)"/g, (_, data: string) => Buffer.from(data, 'base64').toString('utf8'));
}
