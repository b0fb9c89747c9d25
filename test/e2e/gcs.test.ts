import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BackupSummary, RestoreSummary, VerifyReport } from '../../model/backup.ts';
import { type GcsEmulator, startGcsEmulator } from '../../parts/gcs.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { holdfast, holdfastJson, startDev } from '../support/holdfast.ts';
import { planDocument } from '../support/plan-files.ts';
import { query } from '../support/sql.ts';

/** A repository in Google Cloud Storage as an operator has it: the command line, a real PostgreSQL, and an emulator of the service. */

let postgres: PostgresServer;
let emulator: GcsEmulator;
let folder: string;
let plan: string;
let environment: NodeJS.ProcessEnv;
let stopDev: () => Promise<void>;

const planText = (bucket: string) => `apiVersion: holdfast/v1
kind: Repository
metadata: { name: main }
spec: { gcs: { bucket: ${bucket}, prefix: yugabyte, endpoint: "${emulator.endpoint}" } }
${planDocument('orders', '  retention: { keepLast: 1 }\n', ', chunkSize: 1MiB')}`;

beforeAll(async () => {
  postgres = await startPostgres();
  emulator = await startGcsEmulator();
  await emulator.createBucket('backups');
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-gcs-'));
  plan = path.join(folder, 'orders.yaml');
  await writeFile(plan, planText('backups'));
  environment = {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    ORDERS_DATABASE_URL: postgres.url('orders'),
  };
  await query(postgres.url('postgres'), 'CREATE DATABASE orders');
  await query(
    postgres.url('orders'),
    `CREATE TABLE orders (id int PRIMARY KEY, note text);
     INSERT INTO orders SELECT n, repeat(md5(n::text), 5) FROM generate_series(1, 30000) n;`,
  );
  stopDev = await startDev(environment);
});
afterAll(async () => {
  await stopDev?.();
  await emulator?.stop();
  await postgres?.stop();
  await rm(folder, { recursive: true, force: true });
});

const digest = (database: string) =>
  query(
    postgres.url(database),
    'SELECT count(*), sum(hashtextextended(t::text, 0)::numeric)::text FROM orders t',
  );

test('doctor, backup, verify at every level, list, restore and prune', async () => {
  const doctor = await holdfastJson<{ healthy: boolean }>(['doctor', plan], environment);
  expect(doctor).toMatchObject({ healthy: true });
  const made = await holdfastJson<BackupSummary & { verdict: string }>(['backup', plan], environment);
  expect(made).toMatchObject({ rows: 30_000, verdict: 'OK' });
  for (const level of ['exists', 'checksums', 'content', 'restore']) {
    const call = ['verify', plan, made.backup, '--level', level];
    const report = await holdfastJson<VerifyReport>(call, environment);
    expect(report).toMatchObject({ verdict: 'OK', level, problems: [] });
  }
  const restored = await holdfastJson<RestoreSummary>(['restore', plan, '--into', 'copy'], environment);
  expect(restored).toMatchObject({ verdict: 'OK', rows: 30_000 });
  expect(await digest('copy')).toEqual(await digest('orders'));

  const second = await holdfastJson<BackupSummary>(['backup', plan], environment);
  const pruned = await holdfast(['prune', plan, '--json'], environment);
  expect(pruned.code).toBe(0);
  const listed = await holdfastJson<{ backups: { backup: string }[] }>(['list', plan], environment);
  expect(listed.backups.map(({ backup }) => backup)).toContain(second.backup);
});

test('validate and explain name the place, and a missing bucket is told with what to do', async () => {
  const shown = await holdfast(['validate', plan], environment);
  expect(shown.stdout).toContain('repository main, gs://backups/yugabyte');
  expect((await holdfast(['explain', plan], environment)).stdout).toContain(
    `gs://backups/yugabyte at ${emulator.endpoint}`,
  );
  const missing = path.join(folder, 'missing.yaml');
  await writeFile(missing, planText('no-such-bucket'));
  const listing = await holdfast(['list', missing, '--json'], environment);
  expect(JSON.parse(listing.stdout)).toMatchObject({ error: { code: 'STORE_NO_BUCKET' } });
});
