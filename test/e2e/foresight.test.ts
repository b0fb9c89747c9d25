import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { SchemaReport, VerifyReport } from '../../model/backup.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { FETCHED_POSTGRES_RUNS_HERE } from '../../parts/postgres-versions.ts';
import { holdfast, holdfastJson } from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { query } from '../support/sql.ts';

/* The command line, where the server that a backup would come back on lacks a role and an extension (old_snapshot is gone since PostgreSQL 17). */

(FETCHED_POSTGRES_RUNS_HERE ? describe : describe.skip)('a target that lacks what a backup needs', () => {
  let source: PostgresServer;
  let target: PostgresServer;
  let folder: string;
  let plan: string;
  let environment: NodeJS.ProcessEnv;

  beforeAll(async () => {
    source = await startPostgres();
    target = await startPostgres({ version: 18 });
    folder = await mkdtemp(path.join(tmpdir(), 'holdfast-e2e-'));
    await mkdir(path.join(folder, 'repository'));
    plan = path.join(folder, 'orders.yaml');
    await writeFile(plan, repositoryDocument(folder) + planDocument('orders'));
    environment = {
      HOLDFAST_STATE_DIR: path.join(folder, 'state'),
      ORDERS_DATABASE_URL: source.url('orders'),
      OTHER_URL: target.url(),
    };
    await query(source.url(), 'CREATE ROLE seller', 'CREATE DATABASE orders');
    await query(
      source.url('orders'),
      'CREATE EXTENSION old_snapshot',
      'CREATE TABLE orders (id int PRIMARY KEY, note text)',
      'INSERT INTO orders VALUES (1), (2)',
      'ALTER TABLE orders OWNER TO seller',
    );
    await holdfastJson(['backup', plan], environment);
  });

  afterAll(async () => {
    await holdfast(['dev', '--stop'], environment);
    await source?.stop();
    await target?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test('restore --explain names both, in text and JSON, and changes nothing', async () => {
    const there = ['restore', plan, '--explain', '--connection-env', 'OTHER_URL'];
    const explained = await holdfastJson<{ target: unknown }>(there, environment);
    expect(explained.target).toEqual({ roles: ['seller'], extensions: ['old_snapshot'] });
    const { code, stdout } = await holdfast(there, environment);
    expect(code).toBe(0);
    expect(stdout).toContain('The target lacks roles seller, and extensions old_snapshot');
    const here = await holdfastJson<{ target: unknown }>(['restore', plan, '--explain'], environment);
    expect(here.target).toEqual({ roles: [], extensions: [] });
    expect(await query(target.url(), "SELECT 1 FROM pg_database WHERE datname LIKE 'orders%'")).toEqual([]);
  });

  test('a restore there is refused at its plan by both names', async () => {
    const { code, stderr } = await holdfast(['restore', plan, '--connection-env', 'OTHER_URL'], environment);
    expect(code).toBe(1);
    expect(stderr).toContain('seller');
    expect(stderr).toContain('old_snapshot');
  });

  test('verify --level schema tells what that server would refuse, and passes where it is whole', async () => {
    const whole = await holdfastJson<SchemaReport | VerifyReport>(
      ['verify', plan, '--level', 'schema'],
      environment,
    );
    expect(whole).toMatchObject({ verdict: 'OK', level: 'schema', problems: [] });
    const moved = { ...environment, ORDERS_DATABASE_URL: target.url() };
    const { code, stdout } = await holdfast(['verify', plan, '--level', 'schema', '--json'], moved);
    expect(code).toBe(1);
    const report: SchemaReport = JSON.parse(stdout);
    expect(report.verdict).toBe('FAILED');
    expect(report.problems.join('\n')).toContain('old_snapshot');
    expect(report.problems.join('\n')).toContain('seller');
    expect(await query(target.url(), "SELECT 1 FROM pg_database WHERE datname LIKE 'orders%'")).toEqual([]);
  });
});
