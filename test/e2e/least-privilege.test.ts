import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { holdfast, holdfastJson, type RunningCommand, startHoldfast } from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';

/** Everything by exactly the role that the documented script makes, on a real PostgreSQL whose objects belong to others. */
const SCRIPT = path.resolve(__dirname, '..', '..', 'deploy', 'postgresql', 'backup-role.sql');

let postgres: PostgresServer;
let folder: string;
let environment: NodeJS.ProcessEnv;
let server: RunningCommand;
let plan: string;

beforeAll(async () => {
  postgres = await startPostgres();
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-least-'));
  await mkdir(path.join(folder, 'repository'));
  plan = path.join(folder, 'orders.yaml');
  await query(postgres.url('postgres'), 'CREATE DATABASE orders');
  await query(
    postgres.url('orders'),
    'CREATE ROLE shop_owner; CREATE ROLE auditor; CREATE SCHEMA shop AUTHORIZATION shop_owner; SET ROLE shop_owner',
    'CREATE TABLE shop.orders (id bigint PRIMARY KEY, at timestamptz DEFAULT now(), total numeric)',
    'CREATE INDEX ON shop.orders (at); CREATE SEQUENCE shop.numbers; CREATE VIEW shop.recent AS SELECT * FROM shop.orders',
    'INSERT INTO shop.orders SELECT n, now(), n FROM generate_series(1, 1000) n',
    'GRANT SELECT ON shop.orders TO auditor',
    'ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.orders FORCE ROW LEVEL SECURITY',
    'CREATE POLICY own ON shop.orders TO auditor USING (total > 10)',
    'RESET ROLE; CREATE TABLE public.settings (name text PRIMARY KEY, value text)',
    "INSERT INTO public.settings VALUES ('a', 'b')",
  );
  await query(postgres.url('postgres'), await readFile(SCRIPT, 'utf8'));
  await query(postgres.url('postgres'), "ALTER ROLE holdfast_backup PASSWORD 'least'");
  const url = new URL(postgres.url('orders'));
  url.username = 'holdfast_backup';
  url.password = 'least';
  environment = { HOLDFAST_STATE_DIR: path.join(folder, 'state'), ORDERS_DATABASE_URL: url.href };
  server = startHoldfast(['dev', '--json'], environment);
  await writePlan('');
  await eventually('the embedded server answers', async () => server.output() !== '');
});
afterAll(async () => {
  server?.child.kill('SIGTERM');
  await server?.end;
  await postgres?.stop();
  await rm(folder, { recursive: true, force: true });
});

const writePlan = (spec: string) =>
  writeFile(plan, repositoryDocument(folder) + planDocument('orders', spec));

test('doctor, backup, verify, drill and a restore work with the role of the script', async () => {
  const backup = await holdfastJson<{ rows: number; verdict: string }>(['backup', plan], environment);
  expect(backup).toMatchObject({ rows: 1001, verdict: 'OK' });

  const told = await holdfast(['doctor', plan], environment);
  expect(told).toMatchObject({ code: 0 });
  expect(told.stdout).toMatch(
    /✔ can restore: yes, as role "holdfast_backup".*not.*member of.*shop_owner.*restore\.owner/,
  );

  expect(await holdfastJson(['verify', plan, '--level', 'restore'], environment)).toMatchObject({
    verdict: 'OK',
  });
  expect(await holdfastJson(['drill', plan], environment)).toMatchObject({ verdict: 'OK', problems: [] });

  // To new databases of their owners it can't restore: said before anything is made, with the option by name.
  const refused = await holdfast(['restore', plan, '--into', 'never', '--json'], environment);
  expect({ code: refused.code, document: JSON.parse(refused.stdout) }).toMatchObject({
    code: 1,
    document: {
      error: {
        code: 'RESTORE_MAY_NOT_OWN',
        message: expect.stringContaining('shop_owner'),
        remedy: expect.stringMatching(/restore: \{ owner: holdfast_backup \}.*--owner holdfast_backup/),
      },
    },
  });
  expect(await query(postgres.url('postgres'), "SELECT FROM pg_database WHERE datname ~ 'never'")).toEqual(
    [],
  );

  await writePlan('  restore: { owner: holdfast_backup }\n');
  expect(await holdfastJson(['restore', plan, '--into', 'copy'], environment)).toMatchObject({
    verdict: 'OK',
  });
  const owners = await query(
    postgres.url('copy'),
    "SELECT DISTINCT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE relnamespace IN ('shop'::regnamespace, 'public'::regnamespace)",
  );
  expect(owners).toEqual([{ owner: 'holdfast_backup' }]);
});
