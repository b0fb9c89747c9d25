import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BackupFate } from '../../activities/prune.ts';
import type { BackupSummary } from '../../model/backup.ts';
import type { RecoveryDecision } from '../../model/recovery.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { type S3Gateway, startS3Gateway } from '../../parts/s3.ts';
import { isWork } from '../../repository/layout.ts';
import { S3Store } from '../../repository/s3/store.ts';
import { policyOf } from '../support/guarded-stores.ts';
import { holdfast, holdfastJson, type RunningCommand, startHoldfast } from '../support/holdfast.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';

/** Recovery to an instant, and retention under the two policies that docs/retention.md has, on a real PostgreSQL and S3. */
let postgres: PostgresServer;
let gateway: S3Gateway;
let folder: string;
let environment: NodeJS.ProcessEnv;
let server: RunningCommand;

beforeAll(async () => {
  [postgres, gateway] = await Promise.all([
    startPostgres(),
    startS3Gateway({ versioning: true, users: true }),
  ]);
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-retention-'));
  const [writer, pruner] = [await gateway.createUser(), await gateway.createUser()];
  for (const [bucket, objectLock] of [
    ['acme-backups', false],
    ['acme-locked', true],
  ] as const) {
    await gateway.createBucket(bucket, { objectLock });
    await gateway.setPolicy(bucket, [
      { user: writer, statements: await policyOf('backup', bucket) },
      { user: pruner, statements: await policyOf('prune', bucket) },
    ]);
  }
  environment = {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    ORDERS_DATABASE_URL: postgres.url('orders'),
    S3_KEY: writer.accessKeyId,
    S3_SECRET: writer.secretAccessKey,
    S3_PRUNE_KEY: pruner.accessKeyId,
    S3_PRUNE_SECRET: pruner.secretAccessKey,
  };
  await sql('postgres', 'CREATE DATABASE orders');
  await sql('orders', 'CREATE TABLE state (version int); INSERT INTO state VALUES (0)');
  server = startHoldfast(['dev', '--json'], environment);
  await eventually('the embedded server answers', async () => server.output() !== '');
});

afterAll(async () => {
  server.child.kill('SIGTERM');
  await server.end;
  await Promise.all([postgres.stop(), gateway.stop()]);
  await rm(folder, { recursive: true, force: true });
});

const sql = (database: string, statements: string) => query(postgres.url(database), statements);

async function writePlan(name: string, bucket: string, retention: string, lock = ''): Promise<string> {
  const file = path.join(folder, `${name}.yaml`);
  await writeFile(
    file,
    `apiVersion: holdfast/v1
kind: Repository
metadata: { name: main }
spec:
  s3:
    bucket: ${bucket}
    prefix: yugabyte
    region: ${gateway.region}
    endpoint: ${gateway.endpoint}
    credentials: { accessKeyId: { env: S3_KEY }, secretAccessKey: { env: S3_SECRET } }
    pruneCredentials: { accessKeyId: { env: S3_PRUNE_KEY }, secretAccessKey: { env: S3_PRUNE_SECRET } }
    ${lock}
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: ${name} }
spec:
  source: { ysql: { connection: { env: ORDERS_DATABASE_URL } } }
  repository: main
  retention: ${retention}
`,
  );
  return file;
}

async function storeOf(bucket: string, key: 'S3' | 'S3_PRUNE'): Promise<S3Store> {
  return S3Store.open(
    {
      ...{ kind: 's3', bucket, prefix: 'yugabyte', region: gateway.region, endpoint: gateway.endpoint },
      forcePathStyle: true,
      credentials: { accessKeyId: { env: `${key}_KEY` }, secretAccessKey: { env: `${key}_SECRET` } },
    },
    async (reference) => ('env' in reference ? environment[reference.env] : undefined) ?? '',
  );
}

interface Listed {
  readonly backup: string;
  readonly instant: string;
  readonly marked?: { readonly deleteAfter: string };
}

const listed = async (plan: string): Promise<readonly Listed[]> =>
  (await holdfastJson<{ backups: readonly Listed[] }>(['list', plan], environment)).backups;

const dryRun = async (plan: string): Promise<readonly BackupFate[]> =>
  (await holdfastJson<{ backups: readonly BackupFate[] }>(['prune', plan, '--dry-run'], environment)).backups;

/** Backs the database up in its next version. */
async function backUpNext(plan: string, version: number, where = environment): Promise<string> {
  await sql('orders', `UPDATE state SET version = ${version}`);
  return (await holdfastJson<BackupSummary>(['backup', plan], where)).backup;
}

let plan: string;

test('each instant that the planner accepts gives the data of that instant, and one that it refuses is in no backup', async () => {
  plan = await writePlan('orders', 'acme-backups', '{ keepLast: 1, grace: 1ms }');
  for (const version of [1, 2, 3]) await backUpNext(plan, version);
  const instants = (await listed(plan)).map(({ instant }) => instant).reverse();
  const restored: unknown[] = [];
  for (const [index, instant] of instants.entries()) {
    await holdfastJson(['restore', plan, '--to', instant, '--into', `exact_${index}`], environment);
    restored.push((await sql(`exact_${index}`, 'SELECT version FROM state'))[0]?.version);
  }
  expect(restored).toEqual([1, 2, 3]);

  const between = new Date(Date.parse(instants[1] ?? '') + 1).toISOString();
  const refused = await holdfast(['restore', plan, '--to', between, '--explain', '--json'], environment);
  const { decision } = JSON.parse(refused.stdout) as { decision: RecoveryDecision };
  expect({ code: refused.code, decision }).toMatchObject({
    code: 1,
    decision: { kind: 'refused', code: 'INSTANT_NOT_EXACT', before: instants[1], after: instants[2] },
  });
  await holdfastJson(
    ['restore', plan, '--to', between, '--nearest', 'before', '--into', 'before_it'],
    environment,
  );
  expect(await sql('before_it', 'SELECT version FROM state')).toEqual([{ version: 2 }]);
});

test('the credentials of a backup can not delete, and prune with its own deletes what no rule keeps', async () => {
  const [newest, ...older] = await listed(plan);
  if (newest === undefined) throw new Error('the test before made backups');
  const writer = await storeOf('acme-backups', 'S3');
  const manifests = older.map(({ backup }) => `backups/orders/${backup}/manifest.json`);
  await expect(writer.delete(manifests)).rejects.toMatchObject({ code: 'STORE_DENIED' });
  // What its backups leave over stays too, until a prune.
  const leftOver = async () =>
    (await Array.fromAsync(writer.list('backups/orders/'), ({ key }) => key)).filter(isWork);
  await expect(leftOver()).resolves.not.toEqual([]);

  expect((await dryRun(plan)).map(({ backup, fate, rules }) => [backup, fate, ...rules])).toEqual([
    [newest.backup, 'keep', 'keepLast', 'lastGood'],
    ...older.map(({ backup }) => [backup, 'mark']),
  ]);
  await expect(holdfastJson(['prune', plan], environment)).resolves.toMatchObject({
    marks: { marked: older.map(({ backup }) => backup), kept: 1 },
    deletions: { deletedBackups: 0 },
  });
  expect((await listed(plan)).map(({ marked }) => marked !== undefined)).toEqual([false, true, true]);
  // Marked, they can still be restored, and it is said.
  const explained = await holdfast(
    ['restore', plan, '--backup', older[0]?.backup ?? '', '--explain'],
    environment,
  );
  expect(explained.stdout).toMatch(/marked it for deletion after/);

  await expect(holdfastJson(['prune', plan, '--grace', '0'], environment)).resolves.toMatchObject({
    deletions: { deletedBackups: 2, deleted: expect.arrayContaining(older.map(({ backup }) => backup)) },
    removed: { deletedObjects: expect.any(Number) },
  });
  expect((await listed(plan)).map(({ backup }) => backup)).toEqual([newest.backup]);
  await expect(leftOver()).resolves.toEqual([]);
  const still = await holdfastJson<{ verdict: string }>(['verify', plan, newest.backup], environment);
  expect(still.verdict).toBe('OK');
  await writer.close();
});

test('a worker for prunes alone deletes, by credentials that are nowhere else', async () => {
  const { address } = JSON.parse(server.output()) as { address: string };
  const { S3_PRUNE_KEY, S3_PRUNE_SECRET, ...others } = environment;
  const apart = { TEMPORAL_ADDRESS: address, HOLDFAST_TASK_QUEUE: 'apart' };
  const backing = { ...others, ...apart };
  const workers: RunningCommand[] = [];
  const startWorker = async (kind: string, where: NodeJS.ProcessEnv) => {
    const worker = startHoldfast(['worker', '--only', kind, '--json'], where);
    workers.push(worker);
    await eventually(`the worker for ${kind} polls`, async () => worker.output() !== '');
  };
  const examined = async (where: NodeJS.ProcessEnv) => {
    const { stdout } = await holdfast(['doctor', divided, '--json'], where);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; ok: boolean }[] };
    return Object.fromEntries(checks.map(({ name, ok }) => [name, ok]));
  };
  const divided = await writePlan('divided', 'acme-backups', '{ keepLast: 1, grace: 1ms }');
  try {
    await startWorker('lanes', backing);
    await startWorker('read-points', backing);
    for (const version of [11, 12, 13]) await backUpNext(divided, version, backing);
    const [newest, ...older] = await listed(divided);

    const waiting = startHoldfast(['prune', divided, '--json'], backing);
    await eventually('it says what it waits for', async () =>
      waiting.progress().includes('worker --only prune'),
    );
    expect(await examined(backing)).toMatchObject({
      'its credentials can’t delete': true,
      'a worker polls apart': true,
      'a worker polls apart.prune': false,
    });

    await startWorker('prune', { S3_PRUNE_KEY, S3_PRUNE_SECRET, ...apart });
    const { code, stdout } = await waiting.end;
    expect({ code, document: JSON.parse(stdout) }).toMatchObject({
      code: 0,
      document: { marks: { marked: older.map(({ backup }) => backup) } },
    });
    await expect(holdfastJson(['prune', divided], backing)).resolves.toMatchObject({
      deletions: { deletedBackups: 2 },
    });
    expect((await listed(divided)).map(({ backup }) => backup)).toEqual([newest?.backup]);
    expect(await examined({ ...environment, ...apart })).toMatchObject({
      'its credentials can’t delete': true,
      'its pruneCredentials delete': true,
      'the clock here and the repository’s': true,
      'a worker polls apart.prune': true,
    });
  } finally {
    for (const { child } of workers) child.kill('SIGTERM');
    await Promise.all(workers.map(({ end }) => end));
  }
});

test('a locked backup stays until its lock ends, whatever the policy, and the lock is written with it', async () => {
  const locked = await writePlan(
    'locked',
    'acme-locked',
    '{ keepLast: 1, grace: 1ms }',
    'objectLock: { mode: compliance, days: 1 }',
  );
  const first = await backUpNext(locked, 4);
  await backUpNext(locked, 5);
  const pruner = await storeOf('acme-locked', 'S3_PRUNE');
  const until = Date.now() + 24 * 3_600_000;
  for await (const { key } of pruner.list(`backups/locked/${first}/`)) {
    if (isWork(key)) continue;
    const { lockedUntil } = (await pruner.head(key)) ?? {};
    expect([key, Math.abs((lockedUntil?.getTime() ?? 0) - until) < 3_600_000]).toEqual([key, true]);
  }
  expect((await dryRun(locked))[1]).toMatchObject({ backup: first, fate: 'keep', rules: ['objectLock'] });
  await holdfastJson(['prune', locked], environment);
  await holdfastJson(['prune', locked], environment);
  expect((await listed(locked)).map(({ backup }) => backup)).toContain(first);
  await pruner.close();

  // A bucket without object lock refuses, and the backup says why.
  const plain = await writePlan(
    'unlockable',
    'acme-backups',
    '{ keepLast: 1 }',
    'objectLock: { mode: governance, days: 1 }',
  );
  const { code, stdout } = await holdfast(['backup', plain, '--json'], environment);
  expect({ code, document: JSON.parse(stdout) }).toMatchObject({
    code: 1,
    document: { error: { code: 'STORE_NO_OBJECT_LOCK' } },
  });
});
