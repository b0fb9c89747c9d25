import type { RestoreContext } from '../../activities/engine.ts';
import { ysqlEngine } from '../../activities/ysql/engine.ts';
import type { ClientLineName } from '../proxy/client-lines.ts';
import { startYsqlProxy, type YsqlProxy } from '../proxy/proxy.ts';
import { query } from '../support/sql.ts';
import { compareDatabases } from './compare.ts';
import { dumpedByYsql } from './dumped-by-ysql.ts';
import {
  createRepository,
  createZoo,
  restoreContext,
  runRestore,
  startServer,
  type TestBackup,
  type TestRepository,
  type TestServer,
  takeBackup,
  ysqlSource,
} from './harness.ts';

/** What the facts on the programs found broken: R2, R3, R5, R6, R11, R13, R14. */
const RICH = [
  'CREATE TABLE parent (id int PRIMARY KEY, code text CONSTRAINT parent_code_key UNIQUE)',
  'CREATE TABLE child (id int PRIMARY KEY, pcode text REFERENCES parent (code), n int)',
  'CREATE TABLE "Mixed" ("Id" int, "Code" text, CONSTRAINT "Mixed_Id_key" UNIQUE ("Id"), CONSTRAINT "User" UNIQUE ("Code"), UNIQUE ("Id", "Code") DEFERRABLE INITIALLY DEFERRED)',
  'CREATE INDEX child_n ON child (n DESC NULLS LAST, (n + 1)) WHERE n > 0',
  'CREATE TABLE part (region text, id int, note text, PRIMARY KEY (region, id), UNIQUE (region, id, note)) PARTITION BY LIST (region)',
  "CREATE TABLE a_part_eu PARTITION OF part FOR VALUES IN ('eu')",
  "CREATE TABLE part_us PARTITION OF part FOR VALUES IN ('us') PARTITION BY RANGE (id)",
  'CREATE TABLE part_us_1 PARTITION OF part_us FOR VALUES FROM (1) TO (1000)',
  'CREATE TABLE nopk (a int)',

  "INSERT INTO parent SELECT i, 'c' || i FROM generate_series(1, 50) i",
  "INSERT INTO child SELECT i, 'c' || i, i FROM generate_series(1, 50) i",
  `INSERT INTO "Mixed" SELECT i, 'c' || i FROM generate_series(1, 50) i`,
  "INSERT INTO part SELECT CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END, i, 'n' || i FROM generate_series(1, 40) i",
];

let server: TestServer;
let proxy: YsqlProxy;
let repository: TestRepository;

beforeAll(async () => {
  server = await startServer();
  proxy = await startYsqlProxy({ upstreamUrl: server.url() });
  repository = await createRepository();
  await query(server.url(), 'CREATE DATABASE rich');
  await query(server.url('rich'), ...RICH);
});

afterAll(async () => {
  await proxy?.stop();
  await server?.stop();
  await repository?.remove();
});

function throughProxy(database?: string): string {
  const url = new URL(server.url(database));
  url.port = String(proxy.port);
  return url.href;
}

const richBackups = new Map<ClientLineName, TestBackup>();

async function richBackup(line: ClientLineName): Promise<TestBackup> {
  const known =
    richBackups.get(line) ??
    (await dumpedByYsql(server, await takeBackup(repository, throughProxy('rich')), line));
  richBackups.set(line, known);
  return known;
}

/** Where a restore into `to` is at work. */
async function databaseOf(to: string): Promise<string> {
  const rows = await query(
    server.url(),
    `SELECT datname AS name FROM pg_database WHERE starts_with(datname, '${to}')`,
  );
  return String(rows[0]?.name);
}

const differences = (left: string, right: string) =>
  compareDatabases(server, server.url(left), server.url(right), { ignoreDatabaseProperties: true });

describe.each(['2.18', '2024.2', '2025.2', '2026.1'] as const)('what ysql_dump of %s writes', (line) => {
  test('comes back whole: UNIQUE of two statements, bare names, partitions', async () => {
    const to = `whole_${line}`;
    const outcome = await runRestore(
      restoreContext(await richBackup(line), throughProxy(), { into: { rich: to } }),
    );
    expect(outcome.problems).toEqual([]);
    expect(await differences('rich', to)).toEqual([]);
  });

  test('comes back in part, with the partitions of a table', async () => {
    const to = `part_${line}`;
    const outcome = await runRestore(
      restoreContext(await richBackup(line), throughProxy(), {
        into: { rich: to },
        tables: { include: ['public.part', 'public.nopk'], exclude: [] },
      }),
    );
    expect(outcome.problems).toEqual([]);
    expect(await query(server.url(to), 'SELECT count(*)::int FROM part')).toEqual([{ count: 40 }]);
    expect(
      await query(
        server.url(to),
        "SELECT string_agg(relname, ' ' ORDER BY relname) AS names FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace",
      ),
    ).toEqual([{ names: 'a_part_eu nopk part part_us part_us_1' }]);
  });

  test('comes back where a worker dies between the statements of a unit and its mark', async () => {
    const to = `forgotten_${line}`;
    const context = restoreContext(await richBackup(line), throughProxy(), { into: { rich: to } });
    const { restore } = ysqlEngine;
    const forgetful: typeof ysqlEngine = {
      ...ysqlEngine,
      restore: {
        ...restore,
        async postData(attempt: RestoreContext, work) {
          await restore.postData(attempt, work);
          if (attempt.attempt === 1) {
            await query(server.url(await databaseOf(to)), 'DELETE FROM holdfast_restore.applied');
          }
        },
      },
    };
    const outcome = await runRestore(context, forgetful);
    expect(outcome.problems).toEqual([]);
    expect(await differences('rich', to)).toEqual([]);
  });
});

test('no index of a restore is built without its backfill', () => {
  expect(proxy.nonconcurrent).toEqual([]);
});

test.each(['2025.2', '2026.1'] as const)(
  'every kind of object comes back from a dump of %s',
  async (line) => {
    await createZoo(server, `zoo_${line.replace('.', '_')}`);
    const backup = await dumpedByYsql(
      server,
      await takeBackup(repository, throughProxy(`zoo_${line.replace('.', '_')}`)),
      line,
    );
    const from = `zoo_${line.replace('.', '_')}`;
    const outcome = await runRestore(
      restoreContext(backup, throughProxy(), { into: { [from]: `back_${from}` } }),
    );
    expect(outcome.problems).toEqual([]);
    expect(await differences(from, `back_${from}`)).toEqual([]);
  },
);

test('tablespaces come back with the globals, and one that is missing is told', async () => {
  await query(
    server.url(),
    'SET allow_in_place_tablespaces = on',
    `CREATE TABLESPACE "Far Away" LOCATION ''`,
  );
  await query(server.url(), 'CREATE DATABASE placed');
  await query(server.url('placed'), 'CREATE TABLE t (a int) TABLESPACE "Far Away"');
  const backup = await dumpedByYsql(
    server,
    await takeBackup(repository, throughProxy('placed'), ysqlSource({ globals: 'roles' })),
    '2025.2',
  );
  await query(server.url('placed'), 'DROP TABLE t');
  await query(
    server.url(),
    'DROP TABLESPACE "Far Away"',
    'ALTER SYSTEM SET allow_in_place_tablespaces = on',
    'SELECT pg_reload_conf()',
  );
  const told: string[] = [];
  const log = (message: string, fields?: Readonly<Record<string, unknown>>) => {
    told.push(`${message} ${JSON.stringify(fields ?? {})}`);
  };
  await runRestore({
    ...restoreContext(backup, throughProxy(), { into: { placed: 'without' } }),
    log,
  });
  expect(told.join('\n')).toMatch(/Far Away/);
  const placeOf = `SELECT coalesce(spcname, 'default') AS place FROM pg_class c LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace WHERE relname = 't'`;
  expect(await query(server.url('without'), placeOf)).toEqual([{ place: 'default' }]);
  await runRestore(restoreContext(backup, throughProxy(), { into: { placed: 'with' }, globals: true }));
  expect(await query(server.url('with'), placeOf)).toEqual([{ place: 'Far Away' }]);
});
