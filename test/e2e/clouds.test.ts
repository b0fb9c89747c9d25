import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BackupSummary, RestoreSummary, VerifyReport } from '../../model/backup.ts';
import { type AzureEmulator, startAzureEmulator } from '../../parts/azure.ts';
import { type GcsEmulator, startGcsEmulator } from '../../parts/gcs.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { holdfast, holdfastJson, startDev } from '../support/holdfast.ts';
import { planDocument } from '../support/plan-files.ts';
import { query } from '../support/sql.ts';

/** A repository in Google Cloud Storage and in Azure as an operator has it: the command line, a real PostgreSQL, and emulators of the services. */

let postgres: PostgresServer;
let gcs: GcsEmulator;
let azure: AzureEmulator;
let folder: string;
let environment: NodeJS.ProcessEnv;
let stopDev: () => Promise<void>;

const CLOUDS = {
  'Google Cloud Storage': {
    spec: (bucket: string) => `gcs: { bucket: ${bucket}, prefix: yugabyte, endpoint: "${gcs.endpoint}" }`,
    place: 'gs://backups/yugabyte',
    endpoint: () => gcs.endpoint,
  },
  Azure: {
    spec: (container: string) =>
      `azure: { account: holdfast, container: ${container}, prefix: yugabyte, endpoint: "${azure.endpoint}", credentials: { accountKey: { env: AZURE_KEY } } }`,
    place: 'azure://holdfast/backups/yugabyte',
    endpoint: () => azure.endpoint,
  },
};

beforeAll(async () => {
  postgres = await startPostgres();
  gcs = await startGcsEmulator();
  await gcs.createBucket('backups');
  azure = await startAzureEmulator();
  await azure.createContainer('backups');
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-clouds-'));
  environment = {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    ORDERS_DATABASE_URL: postgres.url('orders'),
    AZURE_KEY: azure.accountKey,
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
  await gcs?.stop();
  await azure?.stop();
  await postgres?.stop();
  await rm(folder, { recursive: true, force: true });
});

const digest = (database: string) =>
  query(
    postgres.url(database),
    'SELECT count(*), sum(hashtextextended(t::text, 0)::numeric)::text FROM orders t',
  );

describe.each(['Google Cloud Storage', 'Azure'] as const)('in %s', (name) => {
  const { spec, place, endpoint } = CLOUDS[name];
  const source = name === 'Azure' ? 'orders-azure' : 'orders-gcs';
  async function planIn(bucket: string): Promise<string> {
    const file = path.join(folder, `${source}-${bucket}.yaml`);
    const plan = planDocument(source, '  retention: { keepLast: 1 }\n', ', chunkSize: 1MiB');
    await writeFile(
      file,
      `apiVersion: holdfast/v1\nkind: Repository\nmetadata: { name: main }\nspec: { ${spec(bucket)} }\n${plan}`,
    );
    return file;
  }

  test('doctor, backup, verify at every level, list, restore and prune', async () => {
    const plan = await planIn('backups');
    const doctor = await holdfastJson<{ healthy: boolean }>(['doctor', plan], environment);
    expect(doctor).toMatchObject({ healthy: true });
    const made = await holdfastJson<BackupSummary & { verdict: string }>(['backup', plan], environment);
    expect(made).toMatchObject({ rows: 30_000, verdict: 'OK' });
    for (const level of ['exists', 'checksums', 'content', 'restore']) {
      const call = ['verify', plan, made.backup, '--level', level];
      const report = await holdfastJson<VerifyReport>(call, environment);
      expect(report).toMatchObject({ verdict: 'OK', level, problems: [] });
    }
    const into = `copy_${source.replace('-', '_')}`;
    const restored = await holdfastJson<RestoreSummary>(['restore', plan, '--into', into], environment);
    expect(restored).toMatchObject({ verdict: 'OK', rows: 30_000 });
    expect(await digest(into)).toEqual(await digest('orders'));

    const second = await holdfastJson<BackupSummary>(['backup', plan], environment);
    const pruned = await holdfast(['prune', plan, '--json'], environment);
    expect(pruned.code).toBe(0);
    const listed = await holdfastJson<{ backups: { backup: string }[] }>(['list', plan], environment);
    expect(listed.backups.map(({ backup }) => backup)).toContain(second.backup);
  });

  test('validate and explain name the place, and a missing bucket is told with what to do', async () => {
    const plan = await planIn('backups');
    const shown = await holdfast(['validate', plan], environment);
    expect(shown.stdout).toContain(`repository main, ${place}`);
    expect((await holdfast(['explain', plan], environment)).stdout).toContain(`${place} at ${endpoint()}`);
    const listing = await holdfast(['list', await planIn('no-such-bucket'), '--json'], environment);
    expect(JSON.parse(listing.stdout)).toMatchObject({ error: { code: 'STORE_NO_BUCKET' } });
  });
});
