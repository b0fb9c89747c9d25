import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { type PlanStatus, personsSignal, planStatus } from '../../workflows/plan-messages.ts';
import { type CommandEnd, holdfast, type RunningCommand, startHoldfast } from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';

/**
 * Plans that run by themselves, as an operator meets them: a fresh `holdfast dev`, `apply`, a schedule that fires, a signal that
 * restores; then docs/operations.md, every command of it, in order.
 */
let postgres: PostgresServer;
let folder: string;
let environment: NodeJS.ProcessEnv;
let server: RunningCommand;
let connection: Connection;
let client: Client;

const GUIDE = path.resolve(__dirname, '..', '..', 'docs', 'operations.md');

beforeAll(async () => {
  postgres = await startPostgres();
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-operations-'));
  await mkdir(path.join(folder, 'repository'));
  await mkdir(path.join(folder, 'plans'));
  environment = {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    ORDERS_DATABASE_URL: postgres.url('orders'),
  };
  await sql('postgres', 'CREATE DATABASE orders');
  await sql(
    'orders',
    'CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 1000)',
  );
  server = startHoldfast(['dev', '--json'], environment, folder);
  await eventually('the embedded server answers', async () => server.output() !== '');
  const { address } = JSON.parse(server.output()) as { address: string };
  connection = await Connection.connect({ address });
  client = new Client({ connection });
});
afterAll(async () => {
  await connection?.close();
  server?.child.kill('SIGTERM');
  await server?.end;
  await postgres?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function writePlan(spec: string): Promise<void> {
  await writeFile(
    path.join(folder, 'plans', 'orders.yaml'),
    repositoryDocument(folder) + planDocument('orders', spec),
  );
}

const sql = (database: string, statements: string) => query(postgres.url(database), statements);

const run = (...args: readonly string[]): Promise<CommandEnd> => holdfast(args, environment, folder);

async function json<T>(...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await run(...args, '--json');
  if (code !== 0) throw new Error(`holdfast ${args.join(' ')} ended with ${code}\n${stdout}\n${stderr}`);
  return JSON.parse(stdout) as T;
}

interface Applied {
  readonly changes: number;
  readonly plans: readonly {
    readonly plan: string;
    readonly action: string;
    readonly schedules: readonly { next: string[] }[];
  }[];
}

const status = (): Promise<PlanStatus> => client.workflow.getHandle('plan:orders').query(planStatus);

test('apply makes an entity and a schedule, which fires; a signal restores; nothing is left to apply', async () => {
  await writePlan('  schedule: { cron: "* * * * *" }\n');
  const dry = await json<Applied>('apply', '--dry-run');
  expect(dry).toMatchObject({ changes: 1, plans: [{ plan: 'orders', action: 'add' }] });
  expect(dry.plans[0]?.schedules[0]?.next).toHaveLength(5);
  expect(await json<Applied>('apply')).toMatchObject({ changes: 1 });
  expect(await json<Applied>('apply')).toMatchObject({ changes: 0 });
  const schedule = client.schedule.getHandle('backup:orders');
  await schedule.pause('by hand');
  expect(await run('apply')).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/backup:orders is paused by hand.*\nNothing to change/s),
  });
  await schedule.unpause();

  await eventually('the schedule has fired', async () => (await status()).lastBackup !== null);
  await eventually(
    'its instant can be restored',
    async () => (await status()).survey?.lastGood !== undefined,
  );
  await run('pause', 'orders');
  const instant = (await status()).survey?.lastGood?.instant;
  await sql('orders', 'DELETE FROM orders');
  await client.workflow
    .getHandle('plan:orders')
    .signal(personsSignal('restore'), { to: instant, into: 'orders_at_ten' });
  await eventually('the restore is done', async () =>
    (await status()).closed.some(({ kind }) => kind === 'restore'),
  );
  expect((await status()).closed[0]).toMatchObject({ kind: 'restore', outcome: 'done' });
  expect(await sql('orders_at_ten', 'SELECT count(*)::int AS rows FROM orders')).toEqual([{ rows: 1000 }]);
  await run('resume', 'orders');
});

test('every command of docs/operations.md works, in the order in which it stands there', async () => {
  const survey = (await status()).survey;
  const instant = survey?.window.instants.findLast(({ verified }) => verified)?.at ?? '';
  // A backup that is under way would only make the guide's restore wait for it.
  await writePlan('  schedule: { cron: "0 2 * * *" }\n');
  await run('apply');
  const guide = await readFile(GUIDE, 'utf8');
  const commands = Array.from(guide.matchAll(/```sh\n(.*?)```/gs), ([, block = '']) =>
    block.trim().split('\n'),
  ).flat();
  expect(commands.length).toBeGreaterThan(12);
  for (const command of commands) {
    const words = (command.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replaceAll('"', ''));
    expect(words[0]).toBe('holdfast');
    if (words[1] === 'approve' || words[1] === 'cancel') {
      await eventually('a restore waits for approval', async () =>
        (await status()).requests.some(({ state }) => state === 'awaiting-approval'),
      );
    }
    const args = words.slice(1).map((word) => word.replace('2026-11-22T10:04:00Z', instant));
    const { code, stdout, stderr } = await run(...args);
    if (code !== 0) throw new Error(`${command} ended with ${code}\n${stdout}\n${stderr}`);
    if (words[1] === 'approve') {
      await eventually('the restore has ended', async () => (await status()).requests.length === 0);
    }
  }
  const { closed } = await status();
  expect(closed.filter(({ kind }) => kind === 'restore').map(({ outcome }) => outcome)).toEqual(
    expect.arrayContaining(['done', 'cancelled']),
  );
  expect(await sql('orders', 'SELECT count(*)::int AS rows FROM orders')).toEqual([{ rows: 1000 }]);
  const databases = await sql(
    'postgres',
    "SELECT datname FROM pg_database WHERE datname LIKE 'orders_before_%'",
  );
  expect(databases).toHaveLength(1);
  const { backups } = await json<{ backups: { backup: string }[] }>('list', 'orders');
  expect(backups.filter(({ backup }) => backup.includes('-safety-'))).toHaveLength(1);
});

test('a plan whose repository has vanished from its place is not applied, whatever has changed, and the others are', async () => {
  const place = path.join(folder, 'repository');
  const second = path.join(folder, 'plans', 'zebras.yaml');
  await rename(place, `${place}-away`);
  await mkdir(place);
  try {
    await writePlan('  schedule: { cron: "0 3 * * *" }\n');
    const elsewhere = `${repositoryDocument(folder)}${planDocument('zebras', '  schedule: { cron: "0 4 * * *" }\n')}`;
    await mkdir(path.join(folder, 'zoo'));
    await writeFile(second, elsewhere.replaceAll('main', 'zoo').replace(place, path.join(folder, 'zoo')));
    const ended = await run('apply', '--json');
    const refusal = { code: 'ANOTHER_REPOSITORY', remedy: expect.stringContaining('--new-repository') };
    expect({ code: ended.code, document: JSON.parse(ended.stdout) }).toMatchObject({
      code: 1,
      document: {
        error: refusal,
        changes: 1,
        plans: [
          { plan: 'orders', action: 'failed', error: refusal },
          { plan: 'zebras', action: 'add', outcome: 'applied' },
        ],
      },
    });
    expect(ended.stderr).toMatch(/^error: plan orders: .*\n {2}→ .*--new-repository/m);
    expect(await json('status', 'zebras')).toMatchObject({ applied: true });
  } finally {
    await rm(place, { recursive: true });
    await rename(`${place}-away`, place);
  }
  expect(await json<Applied>('apply', '--dry-run')).toMatchObject({ changes: 1 });
  await rm(second);
  expect(await json<Applied>('apply', '--prune')).toMatchObject({ changes: 2 });
});

test('a plan without a file stays until --prune, which leaves its backups', async () => {
  await rm(path.join(folder, 'plans', 'orders.yaml'));
  await writeFile(path.join(folder, 'plans', 'empty.yaml'), repositoryDocument(folder));
  expect(await json<Applied>('apply')).toMatchObject({ changes: 0, plans: [{ action: 'keep' }] });
  expect(await json<Applied>('apply', '--prune', '--set', 'another')).toMatchObject({
    changes: 0,
    plans: [],
  });
  expect(await json<Applied>('apply', '--prune')).toMatchObject({
    changes: 1,
    plans: [{ action: 'remove' }],
  });
  await eventually('the entity has ended', async () => {
    const { status: state } = await client.workflow.getHandle('plan:orders').describe();
    return state.name === 'COMPLETED';
  });
  const gone = await run('status', 'orders', '--json');
  expect({ code: gone.code, document: JSON.parse(gone.stdout) }).toMatchObject({
    code: 1,
    document: { error: { code: 'PLAN_NOT_APPLIED' } },
  });
  await rm(path.join(folder, 'plans', 'empty.yaml'));
});

test.each<[string, string, number, string]>([
  ['a day that never comes with its weekday', '  schedule: { cron: "0 0 31 2 1" }\n', 2, 'USAGE'],
  ['a plan with an error', '  schedule: { cron: "never" }\n', 2, 'USAGE'],
])('%s is one error, and nothing is applied', async (_what, spec, exitCode, code) => {
  await writePlan(spec);
  const ended = await run('apply', '--json');
  expect({ code: ended.code, document: JSON.parse(ended.stdout) }).toMatchObject({
    code: exitCode,
    document: { error: { code, message: expect.stringContaining('orders.yaml') } },
  });
  const { plans } = await json<{ plans: unknown[] }>('status');
  expect(plans).toEqual([]);
});

test.each<[string, NodeJS.ProcessEnv, string]>([
  ['a Temporal that is not there', { TEMPORAL_ADDRESS: '127.0.0.1:1' }, 'TEMPORAL_UNREACHABLE'],
  ['a namespace that is missing', { TEMPORAL_NAMESPACE: 'nowhere' }, 'NAMESPACE_MISSING'],
  ['a namespace that takes no more search attributes', { TEMPORAL_NAMESPACE: 'full' }, 'SEARCH_ATTRIBUTES'],
  ['a task queue without a worker', { HOLDFAST_TASK_QUEUE: 'nobody' }, 'NO_WORKER'],
])('%s is one error, and leaves nothing behind', async (_what, changes, code) => {
  await writePlan('');
  if (changes.TEMPORAL_NAMESPACE === 'full') await makeFullNamespace('full');
  const { address } = JSON.parse(server.output()) as { address: string };
  const changed = { ...environment, TEMPORAL_ADDRESS: address, ...changes };
  const ended = await holdfast(['apply', '--json'], changed, folder);
  expect({ code: ended.code, document: JSON.parse(ended.stdout) }).toMatchObject({
    code: 1,
    document: { error: { code, remedy: expect.any(String) } },
  });
  const { plans } = await json<{ plans: unknown[] }>('status');
  expect(plans).toEqual([]);
});

/** One in which others have taken all attributes there are: they can't be registered, as without the permission. */
async function makeFullNamespace(namespace: string): Promise<void> {
  const { operatorService, workflowService } = connection;
  await workflowService.registerNamespace({ namespace, workflowExecutionRetentionPeriod: msToTs('1d') });
  await eventually('the namespace is known', () =>
    operatorService.listSearchAttributes({ namespace }).then(
      () => true,
      () => false,
    ),
  );
  const keyword = 2;
  const another = (name: string) =>
    operatorService.addSearchAttributes({ namespace, searchAttributes: { [name]: keyword } }).then(
      () => true,
      () => false,
    );
  for (let count = 0; await another(`Theirs${count}`); count++) expect(count).toBeLessThan(50);
}
