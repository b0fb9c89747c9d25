import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';
import { holdfast, holdfastJson, type RunningCommand, startHoldfast } from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';

/** docs/upgrading.md, "Old and new side by side": what it says of builds, seen on a real Temporal with real workers. */
const DEPLOYMENT = 'orders-backups';
const ENTITY = 'plan:orders';

let scratch: ScratchFolder;
let postgres: PostgresServer;
let temporal: TemporalServer;
let connection: Connection;
let client: Client;
let plan: string;
let environment: NodeJS.ProcessEnv;
const workers: RunningCommand[] = [];

beforeAll(async () => {
  scratch = await createScratchFolder('upgrade');
  postgres = await startPostgres();
  // By default Temporal looks every three minutes whether a build is still needed.
  const drainage = 'matching.wv.VersionDrainageStatus';
  temporal = await startTemporal({
    headless: true,
    extraArgs: [
      ...['--dynamic-config-value', `${drainage}RefreshInterval="1s"`],
      ...['--dynamic-config-value', `${drainage}VisibilityGracePeriod="1s"`],
    ],
  });
  connection = await Connection.connect({ address: temporal.address });
  client = new Client({ connection });
  environment = {
    TEMPORAL_ADDRESS: temporal.address,
    HOLDFAST_STATE_DIR: path.join(scratch.path, 'state'),
    ORDERS_DATABASE_URL: postgres.url('orders'),
  };
  await query(postgres.url('postgres'), 'CREATE DATABASE orders');
  await query(
    postgres.url('orders'),
    'CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 1000)',
  );
  await mkdir(path.join(scratch.path, 'repository'));
  plan = path.join(scratch.path, 'orders.yaml');
  await writeFile(plan, repositoryDocument(scratch.path) + planDocument('orders'));
});

afterAll(async () => {
  await Promise.all(workers.map(stopWorker));
  await connection?.close();
  await temporal?.stop();
  await postgres?.stop();
  await scratch?.remove();
});

async function startWorker(...options: readonly string[]): Promise<RunningCommand> {
  const worker = startHoldfast(['worker', '--lanes', '2', ...options], environment);
  workers.push(worker);
  await eventually(
    'the worker is ready',
    async () => worker.progress().includes('is ready'),
    worker.progress,
  );
  return worker;
}

const startBuild = (build: string) => startWorker('--deployment', DEPLOYMENT, '--build-id', build);

async function stopWorker(worker: RunningCommand): Promise<void> {
  worker.child.kill('SIGTERM');
  await worker.end;
}

interface Deployment {
  readonly current: string | null;
  readonly builds: readonly { readonly build: string; readonly state: string }[];
}

const deployment = (...options: readonly string[]): Promise<Deployment> =>
  holdfastJson<Deployment>(['deployment', DEPLOYMENT, ...options], environment);

async function startBackup(): Promise<string> {
  const args = ['backup', plan, '--new', '--detach'];
  return (await holdfastJson<{ workflowId: string }>(args, environment)).workflowId;
}

/** Makes a backup, and returns the builds that did its steps. */
async function backUp(): Promise<readonly string[]> {
  const workflowId = await startBackup();
  await client.workflow.getHandle(workflowId).result();
  return buildsOf(workflowId);
}

/** Begins a backup that can't end before it is asked for its builds, since a table that it reads is locked. */
async function beginBackup(): Promise<{ end(): Promise<readonly string[]> }> {
  const locker = new pg.Client({ connectionString: postgres.url('orders') });
  await locker.connect();
  await locker.query('BEGIN; LOCK TABLE orders');
  const workflowId = await startBackup();
  await eventually('its worker has begun', async () => (await buildsOf(workflowId)).length > 0);
  return {
    async end() {
      expect((await client.workflow.getHandle(workflowId).describe()).status.name).toBe('RUNNING');
      await locker.end();
      await client.workflow.getHandle(workflowId).result();
      return buildsOf(workflowId);
    },
  };
}

/** The builds that did the steps of a workflow, in order, each once for each time that the workflow came to it. */
async function buildsOf(workflowId: string): Promise<readonly string[]> {
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  const builds: string[] = [];
  for (const { workflowTaskCompletedEventAttributes: done } of events ?? []) {
    if (done === null || done === undefined) continue;
    const build = done.deploymentVersion?.buildId || 'none';
    if (builds.at(-1) !== build) builds.push(build);
  }
  return builds;
}

test('a worker of a deployment takes nothing before its build is the current one, and says so', async () => {
  const unknown = await holdfast(['deployment', DEPLOYMENT, '--json'], environment);
  expect({ code: unknown.code, stdout: unknown.stdout }).toEqual({
    code: 1,
    stdout: expect.stringContaining('DEPLOYMENT_UNKNOWN'),
  });
  const worker = await startBuild('A');
  await eventually('it says how to use it', async () =>
    worker.progress().includes(`holdfast deployment ${DEPLOYMENT} --make-current A`),
  );
  await eventually('Temporal knows the build', async () => (await deployment()).builds.length === 1);
  expect(await deployment()).toMatchObject({ current: null, builds: [{ build: 'A', state: 'inactive' }] });
  const doctor = await holdfast(['doctor', plan, '--json'], environment);
  expect(doctor.stdout).toContain('none does, so runs wait');
});

test('turned on with plans that are applied: the entity goes on with the first build', async () => {
  const plain = await startWorker();
  expect(await holdfast(['apply', scratch.path], environment)).toMatchObject({ code: 0 });
  expect(await backUp()).toEqual(['none']);
  expect(await deployment('--make-current', 'A')).toMatchObject({ current: 'A' });
  await stopWorker(plain);
  expect(await backUp()).toEqual(['A']);
  expect((await buildsOf(ENTITY)).slice(-2)).toEqual(['none', 'A']);
});

test('a backup under way ends on the old build; what begins later runs on the new one, and the plan’s entity moves', async () => {
  const underWay = await beginBackup();
  await startBuild('B');
  expect(await deployment('--make-current', 'B')).toMatchObject({ current: 'B' });
  expect(await underWay.end()).toEqual(['A']);
  expect(await backUp()).toEqual(['B']);
  expect((await buildsOf(ENTITY)).slice(-2)).toEqual(['A', 'B']);
});

test('back to the old build, while its worker is there: the entity and new runs go back, a run of the new build ends there', async () => {
  const underWay = await beginBackup();
  expect(await deployment('--make-current', 'A')).toMatchObject({ current: 'A' });
  expect(await underWay.end()).toEqual(['B']);
  expect(await backUp()).toEqual(['A']);
  expect((await buildsOf(ENTITY)).slice(-2)).toEqual(['B', 'A']);
});

test('a build is drained once its runs have ended; then its worker can be stopped, and everything goes on', async () => {
  await deployment('--make-current', 'B');
  await eventually('A is drained', async () =>
    (await deployment()).builds.some(({ build, state }) => build === 'A' && state === 'drained'),
  );
  const [first] = workers;
  if (first === undefined) throw new Error('there is no worker of A');
  await stopWorker(first);
  expect(await backUp()).toEqual(['B']);
  const missing = await holdfast(['deployment', DEPLOYMENT, '--make-current', 'C', '--json'], environment);
  expect({ code: missing.code, stdout: missing.stdout }).toEqual({
    code: 1,
    stdout: expect.stringContaining('DEPLOYMENT_UNKNOWN'),
  });
});

test('turned off: new work, and the entity, go to a worker without a deployment', async () => {
  await deployment('--unversioned');
  await startWorker();
  expect(await backUp()).toEqual(['none']);
  expect((await buildsOf(ENTITY)).slice(-2)).toEqual(['B', 'none']);
});

test.each([
  [['--build-id', 'A'], 'no deployment'],
  [['--deployment', 'a.b'], 'can’t be the name'],
  [['--deployment', 'a', '--tserver', '10.0.0.1:9100'], 'belongs to no deployment'],
])('worker %j is refused', async (options, reason) => {
  const ended = await startHoldfast(['worker', ...options], environment).end;
  expect({ code: ended.code, stderr: ended.stderr }).toEqual({
    code: 2,
    stderr: expect.stringContaining(reason),
  });
});
