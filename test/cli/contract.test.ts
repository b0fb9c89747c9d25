import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { type CommandEnd, holdfast, type RunningCommand, startHoldfast } from '../support/holdfast.ts';
import { eventually, isRunning } from '../support/processes.ts';
import { query } from '../support/sql.ts';

/** docs/scripting.md is a contract: what it says of documents and exit codes is read from it and held here. */
const CONTRACT = path.resolve(__dirname, '..', '..', 'docs', 'scripting.md');

let contract: string;
let postgres: PostgresServer;
let folder: string;
let plan: string;
/** One with a schedule and retention. */
let kept: string;
let environment: NodeJS.ProcessEnv;
let server: RunningCommand;
/** A backup that the first test makes, for the others to look at. */
let backup: string;

beforeAll(async () => {
  contract = await readFile(CONTRACT, 'utf8');
  postgres = await startPostgres();
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-contract-'));
  await mkdir(path.join(folder, 'repository'));
  plan = await writePlan('orders', 'repository');
  kept = await writePlan(
    'kept',
    'repository',
    '  schedule: { cron: "@daily" }\n  retention: { keepDaily: 7 }\n',
  );
  environment = {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    ORDERS_DATABASE_URL: postgres.url('orders'),
  };
  await sql('postgres', 'CREATE DATABASE orders');
  await sql('orders', 'CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1), (2), (3)');
  // One server for all of the commands below, which would otherwise start and stop one each.
  server = startHoldfast(['dev', '--json'], environment);
  await eventually('the embedded server answers', async () => server.output() !== '');
});

afterAll(async () => {
  server.child.kill('SIGTERM');
  await server.end;
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
});

async function writePlan(name: string, repository: string, more = ''): Promise<string> {
  const file = path.join(folder, `${name}.yaml`);
  await writeFile(
    file,
    `apiVersion: holdfast/v1
kind: Repository
metadata: { name: ${name}-backups }
spec: { directory: ${path.join(folder, repository)} }
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: ${name} }
spec:
  source: { ysql: { connection: { env: ORDERS_DATABASE_URL } } }
  repository: ${name}-backups
${more}`,
  );
  return file;
}

const sql = (database: string, statements: string) => query(postgres.url(database), statements);

/** The top-level fields that the contract's table of documents has for a command. */
function documentedFields(command: string): string[] {
  const cell = command.includes('`') ? command : `\`${command}\``;
  const row = contract.split('\n').find((line) => line.startsWith(`| ${cell} |`));
  if (row === undefined) throw new Error(`docs/scripting.md has no row for ${command}`);
  const [, , fields = ''] = row.split('|');
  const outermost = fields.replaceAll(/\([^)]*\)/g, '');
  return Array.from(outermost.matchAll(/`(\w+)[^`]*`/g), ([, name]) => name ?? '').sort();
}

/** The one document on stdout, which holds nothing else. */
function documentOf({ stdout, stderr }: CommandEnd): Record<string, unknown> {
  expect({ lines: stdout.split('\n').length, stderr }).toEqual({ lines: 2, stderr: expect.any(String) });
  return JSON.parse(stdout) as Record<string, unknown>;
}

async function run(...args: readonly string[]): Promise<CommandEnd> {
  return holdfast([...args, '--json'], environment);
}

test('a backup gives the documented fields, and its id is what list and show know it by', async () => {
  const made = await run('backup', plan);
  const document = documentOf(made);
  expect({ code: made.code, fields: Object.keys(document).sort() }).toEqual({
    code: 0,
    fields: documentedFields('backup PLAN'),
  });
  expect(document).toMatchObject({ plan: 'orders', rows: 3, verdict: 'OK', verified: ['checksums'] });
  backup = String(document.backup);

  const listed = documentOf(await run('list', plan));
  expect(Object.keys(listed).sort()).toEqual(documentedFields('list PLAN'));
  expect(listed.backups).toEqual([
    expect.objectContaining({ backup, rows: 3, verified: expect.objectContaining({ verdict: 'OK' }) }),
  ]);

  const shown = await run('show', plan, backup);
  expect(documentOf(shown)).toMatchObject({ formatVersion: 1, plan: 'orders', backup });
});

test.each([
  ['backup PLAN --detach', () => ['backup', plan, '--detach', '--new']],
  ['restore PLAN --detach', () => ['restore', plan, '--backup', backup, '--into', 'detached', '--detach']],
  ['restore PLAN --explain', () => ['restore', plan, '--to', '-0s', '--nearest', 'before', '--explain']],
  ['restore PLAN', () => ['restore', plan, '--backup', backup, '--into', 'orders_copy']],
  ['verify PLAN [BACKUP]', () => ['verify', plan, backup]],
  ['prune PLAN', () => ['prune', plan]],
  ['prune PLAN --dry-run', () => ['prune', plan, '--dry-run']],
  ['prune PLAN --detach', () => ['prune', kept, '--detach']],
  [
    'retention simulate PLAN',
    () => ['retention', 'simulate', kept, '--days', '30', '--svg', path.join(folder, 'month.svg')],
  ],
  ['drill PLAN', () => ['drill', plan]],
  ['drill PLAN --detach', () => ['drill', plan, '--detach']],
  ['report [PLAN] --out FILE', () => ['report', plan, '--out', path.join(folder, 'report.html')]],
  ['`status PLAN` of one that is not applied', () => ['status', plan]],
  ['apply [DIR]', () => ['apply', plan]],
  ['apply [DIR]', () => ['apply', plan, '--dry-run']],
  ['status PLAN', () => ['status', plan]],
  ['status', () => ['status']],
  ['`approve`, `pause`, `resume`, `cancel PLAN`', () => ['pause', plan]],
  ['`approve`, `pause`, `resume`, `cancel PLAN`', () => ['resume', plan]],
  ['audit PLAN', () => ['audit', plan]],
  ['doctor PLAN', () => ['doctor', plan]],
  ['validate FILE…', () => ['validate', plan]],
  ['explain PLAN', () => ['explain', plan]],
  ['init NAME', () => ['init', 'fresh', '--directory', folder, '--out', path.join(folder, 'fresh.yaml')]],
])('%s gives the documented fields and ends with 0', async (command, args) => {
  const ended = await run(...args());
  expect({ code: ended.code, fields: Object.keys(documentOf(ended)).sort() }).toEqual({
    code: 0,
    fields: documentedFields(command),
  });
});

test('a detached run of a plan that was never applied is cancelled by its workflow id', async () => {
  const byHand = await writePlan('by-hand', 'repository');
  const holder = new pg.Client(postgres.url('orders'));
  await holder.connect();
  try {
    // The backup waits for this lock.
    await holder.query('BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE');
    const { workflowId } = documentOf(await run('backup', byHand, '--detach'));
    let asked = await run('cancel', 'by-hand');
    await eventually('its run is listed', async () => {
      asked = await run('cancel', 'by-hand');
      return asked.stdout.includes(String(workflowId));
    });
    expect({ code: asked.code, document: documentOf(asked) }).toMatchObject({
      code: 1,
      document: { error: { code: 'PLAN_NOT_APPLIED', message: expect.stringContaining(String(workflowId)) } },
    });
    const other = await run('cancel', 'orders', String(workflowId));
    expect({ code: other.code, document: documentOf(other) }).toMatchObject({
      code: 1,
      document: { error: { code: 'NO_SUCH_RUN' } },
    });
    const cancelled = await run('cancel', byHand, String(workflowId));
    expect({ code: cancelled.code, document: documentOf(cancelled) }).toMatchObject({
      code: 0,
      document: { plan: 'by-hand', workflowId, outcome: 'accepted' },
    });
    await eventually('the run has ended', async () => {
      const again = await run('cancel', byHand, String(workflowId));
      return again.stdout.includes('NO_SUCH_RUN');
    });
  } finally {
    await holder.end();
  }
});

test('a plan that was never applied has a status: what its repository holds, with the time line', async () => {
  const byCron = await writePlan('by-cron', 'repository');
  const made = documentOf(await run('backup', byCron));
  const told = await startHoldfast(['status', byCron], environment).end;
  expect(told).toMatchObject({ code: 0, stdout: expect.stringContaining('not applied') });
  expect(told.stdout).toContain(`last good backup:  ${made.backup}`);
  expect(told.stdout).toMatch(/^●·+$/m);
  const unknown = await run('status', 'nobody');
  expect({ code: unknown.code, document: documentOf(unknown) }).toMatchObject({
    code: 1,
    document: { error: { code: 'PLAN_NOT_APPLIED', remedy: expect.stringContaining('file') } },
  });
});

test('verify ends with 1 and says FAILED of a damaged backup, which restore refuses', async () => {
  const damaged = await writePlan('damaged', 'repository');
  const made = documentOf(await run('backup', damaged));
  const manifest = path.join(
    folder,
    'repository',
    'backups',
    'damaged',
    String(made.backup),
    'manifest.json',
  );
  const bytes = await readFile(manifest);
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  await writeFile(manifest, bytes);

  const verified = await run('verify', damaged, String(made.backup));
  expect({ code: verified.code, document: documentOf(verified) }).toMatchObject({
    code: 1,
    document: { verdict: 'FAILED', problems: [expect.stringContaining('manifest.json')] },
  });
  const restored = await run('restore', damaged, '--backup', String(made.backup), '--into', 'never');
  expect({ code: restored.code, document: documentOf(restored) }).toMatchObject({
    code: 1,
    document: { error: { message: expect.stringContaining('manifest.json') } },
  });
});

test('verify ends with 3 and says INCONCLUSIVE where it could not be checked', async () => {
  const wrongPassword = postgres.url('orders').replace(postgres.password, 'wrong');
  const noTarget = { ...environment, ORDERS_DATABASE_URL: wrongPassword };
  const ended = await startHoldfast(['verify', plan, backup, '--level', 'restore', '--json'], noTarget).end;
  expect({ code: ended.code, document: documentOf(ended) }).toMatchObject({
    code: 3,
    document: { verdict: 'INCONCLUSIVE' },
  });
});

test('a worker of another shell that died without a run is of no concern', async () => {
  const state = await readFile(path.join(folder, 'state', 'embedded.json'), 'utf8');
  const { workers } = JSON.parse(state) as { workers: Record<string, number> };
  expect(Object.keys(workers).length).toBeGreaterThan(1);
  for (const pid of Object.values(workers)) {
    process.kill(pid, 'SIGKILL');
    await eventually('it is dead', async () => !(await isRunning(pid)));
  }
  const ended = await run('backup', plan, '--new');
  expect({ code: ended.code, stderr: ended.stderr }).toMatchObject({
    code: 0,
    stderr: expect.not.stringMatching(/has died/),
  });
});

test('SIGINT without a terminal detaches: 3, and the document says how to find the run', async () => {
  // The table is locked, so that the run can't end before the signal comes.
  const locker = new pg.Client({ connectionString: postgres.url('orders') });
  await locker.connect();
  try {
    await locker.query('BEGIN; LOCK TABLE orders');
    const command = startHoldfast(['backup', plan, '--new', '--json'], environment);
    await eventually('the run is followed', async () => /^Backup \S+ of orders/m.test(command.progress()));
    command.child.kill('SIGINT');
    const ended = await command.end;
    const document = documentOf(ended);
    expect({ code: ended.code, fields: Object.keys(document).sort() }).toEqual({
      code: 3,
      fields: documentedFields('backup PLAN --detach'),
    });
  } finally {
    await locker.end();
  }
  const followed = documentOf(await run('backup', plan));
  expect(followed.verdict).toBe('OK');
});

describe('a failure is one document {error: {code, message, remedy}}, and one sentence without --json', () => {
  const failures: [what: string, args: () => string[], exitCode: number, code: string][] = [
    ['no command', () => [], 2, 'USAGE'],
    ['an unknown command', () => ['bakcup'], 2, 'USAGE'],
    ['an unknown option', () => ['list', plan, '--frob'], 2, 'USAGE'],
    ['a missing argument', () => ['show', plan], 2, 'USAGE'],
    ['a value that is none of the choices', () => ['verify', plan, '--level', 'deep'], 2, 'USAGE'],
    ['a value of the wrong kind', () => ['prune', plan, '--grace', 'long'], 2, 'USAGE'],
    ['options that exclude each other', () => ['restore', plan, '--backup', 'b', '--to', '-1d'], 2, 'USAGE'],
    ['a time without a zone', () => ['restore', plan, '--to', '2026-01-01T00:00'], 2, 'USAGE'],
    ['no such plan file', () => ['backup', path.join(folder, 'missing.yaml')], 2, 'USAGE'],
    ['no such plan in its file', () => ['list', `${plan}#other`], 2, 'USAGE'],
    ['a plan without retention', () => ['retention', 'simulate', plan], 2, 'USAGE'],
    ['no such backup', () => ['show', plan, 'nope'], 2, 'USAGE'],
    ['no backup so old', () => ['restore', plan, '--to', '-3650d'], 1, 'INSTANT_TOO_EARLY'],
    ['an instant that no backup holds', () => ['restore', plan, '--to', '-0s'], 1, 'INSTANT_NOT_EXACT'],
    ['an instant to come', () => ['restore', plan, '--to', '2999-01-01T00:00Z'], 1, 'INSTANT_IN_FUTURE'],
    ['a target that is there', () => ['restore', plan, '--into', 'orders'], 1, 'RESTORE_TARGET_NOT_EMPTY'],
    ['a repository that is not mounted', () => ['list', unmounted], 1, 'STORE_NO_DIRECTORY'],
  ];
  let unmounted: string;
  beforeAll(async () => {
    unmounted = await writePlan('unmounted', 'not-there');
  });

  test.each(failures)('%s', async (_what, args, exitCode, code) => {
    // The second in a process of its own, whose exit code it is.
    const [ended, told] = await Promise.all([run(...args()), startHoldfast(args(), environment).end]);
    expect({ code: ended.code, document: documentOf(ended) }).toEqual({
      code: exitCode,
      document: { error: { code, message: expect.any(String), remedy: expect.any(String) } },
    });
    expect({ code: told.code, stdout: told.stdout }).toEqual({ code: exitCode, stdout: '' });
    expect(told.stderr).not.toMatch(/\n\s+at .+:\d+:\d+/);
    if (args().length > 0) expect(told.stderr).toMatch(/^error: /m);
    // A log of stderr shows how it ended, whatever stdout was for.
    if (args().length > 0) expect(ended.stderr).toMatch(/^error: /m);
  });
});
