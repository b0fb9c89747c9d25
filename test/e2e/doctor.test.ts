import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { quietVerb } from '../../engines/quiet-verb.ts';
import { checkNewestSchema } from '../../engines/schema-trial.ts';
import { resolvePlan } from '../../library/plan-files.ts';
import { scratchName } from '../../model/drill.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';
import { connectClient } from '../../worker/connection.ts';
import { holdfast, holdfastJson, type RunningCommand, startHoldfast } from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';

/** `holdfast doctor` asks the worker that will do the work: its secrets, its programs, its network; not the shell that it is typed in. */

interface Answer {
  readonly plan: string;
  readonly healthy: boolean;
  readonly checks: readonly {
    readonly name: string;
    readonly ok: boolean;
    readonly detail: string;
    readonly remedy?: string;
  }[];
  readonly workers: readonly { readonly queue: string; readonly identity: string; readonly host: string }[];
}

let postgres: PostgresServer;
let temporal: TemporalServer;
let scratch: ScratchFolder;
let plan: string;
const workers: RunningCommand[] = [];

beforeAll(async () => {
  [postgres, temporal, scratch] = await Promise.all([
    startPostgres(),
    startTemporal({ headless: true }),
    createScratchFolder('doctor'),
  ]);
  await query(postgres.url('postgres'), 'CREATE DATABASE orders');
  await query(postgres.url('orders'), 'CREATE TABLE t (id int PRIMARY KEY)');
  await mkdir(path.join(scratch.path, 'repository'));
  plan = path.join(scratch.path, 'orders.yaml');
  await writeFile(
    plan,
    `apiVersion: holdfast/v1
kind: Repository
metadata: { name: backups }
spec: { directory: ${path.join(scratch.path, 'repository')} }
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: orders }
spec:
  source: { ysql: { connection: { env: ORDERS_DATABASE_URL } } }
  repository: backups
`,
  );
});

afterEach(async () => {
  for (const { child } of workers) child.kill('SIGTERM');
  await Promise.all(workers.splice(0).map(({ end }) => end));
});

afterAll(async () => {
  await temporal.stop();
  await postgres.stop();
  await scratch.remove();
});

/** Each test has a queue of its own: Temporal remembers a worker that has ended. */
function environmentOf(queue: string, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return {
    TEMPORAL_ADDRESS: temporal.address,
    HOLDFAST_TASK_QUEUE: queue,
    HOLDFAST_STATE_DIR: path.join(scratch.path, 'state'),
    ...more,
  };
}

async function startWorker(
  environment: NodeJS.ProcessEnv,
  ...args: readonly string[]
): Promise<RunningCommand> {
  const worker = startHoldfast(['worker', '--json', ...args], environment);
  workers.push(worker);
  await eventually('the worker polls', async () => worker.output() !== '');
  return worker;
}

async function ask(environment: NodeJS.ProcessEnv, ...args: readonly string[]) {
  return askOf(plan, environment, ...args);
}

async function askOf(file: string, environment: NodeJS.ProcessEnv, ...args: readonly string[]) {
  const { code, stdout } = await holdfast(['doctor', file, '--json', ...args], environment);
  const answer = JSON.parse(stdout) as Answer;
  const named = (name: string) => answer.checks.find((check) => check.name === name);
  return { code, answer, named };
}

/** A folder whose PostgreSQL programs are this script. */
async function programs(folderName: string, script: string): Promise<string> {
  const folder = path.join(scratch.path, folderName);
  await mkdir(folder);
  for (const name of ['pg_dump', 'pg_dumpall', 'psql']) {
    await writeFile(path.join(folder, name), `#!/bin/sh\n${script}\n`);
    await chmod(path.join(folder, name), 0o755);
  }
  return folder;
}

test('a worker with a secret that the shell lacks gives its own answer, and is named', async () => {
  const worker = await startWorker(environmentOf('secret', { ORDERS_DATABASE_URL: postgres.url('orders') }));
  const { code, answer, named } = await ask(environmentOf('secret'));
  expect({ code, checks: answer.checks }).toMatchObject({ code: 0 });
  expect(named('source answers')).toMatchObject({ ok: true, detail: expect.stringContaining('postgresql') });
  const identity = expect.stringMatching(`^${worker.child.pid}@`);
  expect(answer.workers).toEqual([
    expect.objectContaining({ queue: 'secret', identity, host: hostname() }),
    expect.objectContaining({ queue: 'secret.read-points', identity }),
  ]);
});

test('a worker without the secret that the shell has says so', async () => {
  await startWorker(environmentOf('no-secret'));
  const shell = environmentOf('no-secret', { ORDERS_DATABASE_URL: postgres.url('orders') });
  const { code, named } = await ask(shell);
  expect({ code, check: named('source answers') }).toMatchObject({
    code: 1,
    check: { ok: false, detail: expect.stringContaining('ORDERS_DATABASE_URL') },
  });
  const here = await ask(shell, '--here');
  expect(here.named('source answers')).toMatchObject({ ok: true });
  expect(here.answer.workers).toEqual([]);
});

test('the programs are those of the worker’s environment', async () => {
  const folder = path.join(scratch.path, 'programs');
  await mkdir(folder);
  for (const name of ['pg_dump', 'pg_dumpall', 'psql']) {
    await symlink(path.join(postgres.binDirectory, name), path.join(folder, name));
  }
  const ORDERS_DATABASE_URL = postgres.url('orders');
  await startWorker(environmentOf('programs', { ORDERS_DATABASE_URL, HOLDFAST_YB_BIN: folder }));
  const { named } = await ask(environmentOf('programs', { ORDERS_DATABASE_URL }));
  expect(named('program that dumps the schema')).toMatchObject({
    ok: true,
    detail: expect.stringContaining(folder),
  });
});

test('where no worker polls, it says so and how to start one, and how to look from here', async () => {
  const { code, answer, named } = await ask(environmentOf('nobody'));
  expect({ code, check: named('a worker polls nobody') }).toMatchObject({
    code: 1,
    check: { ok: false, remedy: expect.stringContaining('holdfast worker') },
  });
  expect(named('a worker polls nobody')?.remedy).toContain('--here');
  expect(answer.workers).toEqual([]);
});

test('a worker that died a moment ago is missed, and the question is withdrawn', async () => {
  const worker = await startWorker(environmentOf('dead'));
  worker.child.kill('SIGKILL');
  await worker.end;
  const { code, named } = await ask(environmentOf('dead'));
  // On a busy machine so much time passes until it is asked for that Temporal no longer counts it among those who poll.
  const missed = named('the workers answer') ?? named('a worker polls dead');
  expect({ code, missed }).toMatchObject({ code: 1, missed: { ok: false } });
  await expect(running('doctor')).resolves.toEqual([]);
});

test('the worker that holds read points is asked too, by its own secrets', async () => {
  const ORDERS_DATABASE_URL = postgres.url('orders');
  await startWorker(environmentOf('apart', { ORDERS_DATABASE_URL }), '--only', 'lanes');
  await startWorker(environmentOf('apart'), '--only', 'read-points');
  const { answer } = await ask(environmentOf('apart'));
  expect(answer.workers.map(({ queue }) => queue).toSorted()).toEqual(['apart', 'apart.read-points']);
  const sources = answer.checks.filter(({ name }) => name.endsWith('source answers'));
  expect(sources.map(({ ok }) => ok)).toEqual([true, false]);
});

test('Ctrl-C ends the run, leaves no object in the repository and no process', async () => {
  const slow = await programs('slow-programs', 'sleep 5');
  const ORDERS_DATABASE_URL = postgres.url('orders');
  await startWorker(environmentOf('slow', { ORDERS_DATABASE_URL, PATH: `${slow}:${process.env.PATH}` }));
  const command = startHoldfast(['doctor', plan, '--json'], environmentOf('slow'));
  await eventually('the question is under way', async () => (await running('doctor')).length === 1);
  command.child.kill('SIGINT');
  const { code, stdout } = await command.end;
  expect({ code, answer: JSON.parse(stdout) }).toMatchObject({ code: 1, answer: { healthy: false } });
  await expect(running('doctor')).resolves.toEqual([]);
  await expect(
    readdir(path.join(scratch.path, 'repository'), { recursive: true }),
  ).resolves.not.toContainEqual(expect.stringMatching(/doctor\/./));
});

describe('the newest backup’s schema', () => {
  const NAME = 'schema can be restored';
  const TRIED = 'schema%_restoring_doctor_%';
  let file: string;
  let environment: NodeJS.ProcessEnv;

  beforeAll(async () => {
    environment = { ORDERS_DATABASE_URL: postgres.url('schema') };
    file = path.join(scratch.path, 'schema.yaml');
    await writeFile(file, repositoryDocument(scratch.path) + planDocument('schema', '  drill: {}\n'));
    await query(postgres.url('postgres'), 'CREATE ROLE seller', 'CREATE DATABASE schema');
    await query(
      postgres.url('schema'),
      // PostgreSQL computes what an index is limited to when it makes the index, also where there is no row.
      `CREATE FUNCTION takes_its_time(n int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
         IF current_setting('trial.slow', true) = 'yes' THEN PERFORM pg_sleep(600); END IF;
         RETURN true;
       END $$`,
      'CREATE TABLE t (id int PRIMARY KEY)',
      'INSERT INTO t VALUES (1)',
      'CREATE INDEX slow ON t (id) WHERE takes_its_time(1)',
      'ALTER TABLE t OWNER TO seller',
    );
    await startWorker(environmentOf('first', environment));
    expect((await askOf(file, environmentOf('first'))).named(NAME)).toBeUndefined();
    await holdfastJson(['backup', file], environmentOf('first'));
  });

  const tried = (): Promise<readonly object[]> =>
    query(postgres.url('postgres'), `SELECT datname FROM pg_database WHERE datname LIKE '${TRIED}'`);
  const isBusy = async (): Promise<boolean> => {
    const busy = `SELECT FROM pg_stat_activity WHERE datname LIKE '${TRIED}' AND wait_event = 'PgSleep'`;
    return (await query(postgres.url('postgres'), busy)).length > 0;
  };
  /** Trials don't end while `work` runs. */
  async function whileSlow(work: () => Promise<void>): Promise<void> {
    await query(postgres.url('postgres'), "ALTER ROLE CURRENT_USER SET trial.slow = 'yes'");
    try {
      await work();
    } finally {
      await query(postgres.url('postgres'), 'ALTER ROLE CURRENT_USER RESET trial.slow');
    }
  }

  test('Ctrl-C ends the trial, and the scratch database is dropped', async () => {
    await startWorker(environmentOf('stopped', environment));
    await whileSlow(async () => {
      const command = startHoldfast(['doctor', file, '--json'], environmentOf('stopped'));
      await eventually('the trial is under way', isBusy);
      command.child.kill('SIGINT');
      expect(await command.end).toMatchObject({ code: 1 });
      await eventually('nothing of the trial is left', async () => (await tried()).length === 0);
    });
  });

  test('what a trial leaves whose worker was killed is dropped by the next drill', async () => {
    const worker = await startWorker(environmentOf('killed', environment));
    await whileSlow(async () => {
      const command = startHoldfast(['doctor', file, '--json'], environmentOf('killed'));
      await eventually('the trial is under way', isBusy);
      worker.child.kill('SIGKILL');
      await worker.end;
      command.child.kill('SIGINT');
      await command.end;
    });
    await expect(tried()).resolves.toHaveLength(1);
    await startWorker(environmentOf('next', environment));
    expect(await holdfastJson(['drill', file], environmentOf('next'))).toMatchObject({ verdict: 'OK' });
    await expect(tried()).resolves.toEqual([]);
  });

  test('the worker tries it where its own secrets lead, and says what --here says', async () => {
    await startWorker(environmentOf('tries', environment));
    const whole = await askOf(file, environmentOf('tries'));
    expect({ code: whole.code, check: whole.named(NAME) }).toMatchObject({
      code: 0,
      check: { ok: true, detail: expect.stringMatching(/^the schema of .* can be created here, whole$/) },
    });
    await query(postgres.url('schema'), 'ALTER TABLE t OWNER TO CURRENT_USER', 'DROP ROLE seller');
    const refused = await askOf(file, environmentOf('tries'));
    expect({ code: refused.code, check: refused.named(NAME) }).toMatchObject({
      code: 1,
      check: { ok: false, detail: expect.stringContaining('seller') },
    });
    const here = await askOf(file, environmentOf('tries', environment), '--here');
    expect(refused.named(NAME)).toEqual(here.named(NAME));
    await expect(tried()).resolves.toEqual([]);
  });

  test('a trial that takes too long is given up and dropped, and says that nothing is known', async () => {
    const { repository, source } = await planOf();
    await whileSlow(async () => {
      const verb = quietVerb(async () => postgres.url('schema'));
      const [check, ...others] = await checkNewestSchema(verb, {
        ...{ repository, source, plan: 'schema', restore: scratchName('doctor', new Date()) },
        reading: (_, read) => read(),
        atMostMs: 5_000,
      });
      expect(others).toEqual([]);
      expect(check).toMatchObject({
        ...{ name: NAME, ok: false, detail: expect.stringContaining('is not known') },
        remedy: expect.stringContaining('verify PLAN --level schema'),
      });
    });
    await expect(tried()).resolves.toEqual([]);
  });

  async function planOf() {
    return (await resolvePlan(file)).pipeline;
  }
});

async function running(type: string): Promise<readonly string[]> {
  const { client, connection } = await connectClient(temporal.address);
  try {
    const ids: string[] = [];
    for await (const { workflowId } of client.workflow.list({ query: `WorkflowType="${type}"` })) {
      const { status } = await client.workflow.getHandle(workflowId).describe();
      if (status.name === 'RUNNING') ids.push(workflowId);
    }
    return ids;
  } finally {
    await connection.close();
  }
}
