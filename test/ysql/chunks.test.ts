import { checkSource } from '../../engines/ysql/check.ts';
import { query } from '../support/sql.ts';
import {
  backupContext,
  createRepository,
  restoreContext,
  runRestore,
  startServer,
  type TestBackup,
  type TestRepository,
  type TestServer,
  takeBackup,
  ysqlSource,
} from './harness.ts';
import { startYugabyteStandIn, type YugabyteStandIn } from './yugabyte-stand-in.ts';

const ROWS = 3000;
/** Makes a key descend while its table is empty; seen by later sessions. */
const DESCEND =
  "UPDATE pg_index SET indoption = '0 3' WHERE indrelid = 'descending'::regclass AND indisprimary";

describe("tables of each of YugabyteDB's shardings", () => {
  let yugabyte: YugabyteStandIn;
  let server: TestServer;
  let repository: TestRepository;
  let backup: TestBackup;

  beforeAll(async () => {
    yugabyte = await startYugabyteStandIn('2025.2');
    server = yugabyte.server;
    repository = await createRepository();
    await query(server.url(), 'CREATE DATABASE sharded');
    await query(
      server.url('sharded'),
      'CREATE TABLE ranged (a bigint PRIMARY KEY, b text)',
      "COMMENT ON TABLE ranged IS 'yb: range SPLIT AT VALUES ((1000), (2000))'",
      'CREATE TABLE colocated (a text COLLATE "C" PRIMARY KEY, b text)',
      "COMMENT ON TABLE colocated IS 'yb: colocated'",
      'CREATE TABLE descending (tenant int, at timestamptz, b text, PRIMARY KEY (tenant, at))',
      "COMMENT ON TABLE descending IS 'yb: range'",
      DESCEND,
      'CREATE TABLE hashed (a int PRIMARY KEY, b text)',
      'CREATE TABLE keyless (a int, b text)',
      'CREATE TABLE keyless_small (a int, b text)',
      "CREATE TABLE keyless_colocated (a int, b text); COMMENT ON TABLE keyless_colocated IS 'yb: colocated'",
      "CREATE TABLE small (a int PRIMARY KEY); COMMENT ON TABLE small IS 'yb: colocated'",
    );
    await query(
      server.url('sharded'),
      `INSERT INTO ranged SELECT i, repeat('x', 100) FROM generate_series(1, ${ROWS}) i`,
      `INSERT INTO colocated SELECT 'k' || i, repeat('x', 100) FROM generate_series(1, ${ROWS}) i`,
      `INSERT INTO descending SELECT i % 2, now() + i * interval '1 s', repeat('x', 100) FROM generate_series(1, ${ROWS}) i`,
      `INSERT INTO hashed SELECT i, repeat('x', 100) FROM generate_series(1, ${ROWS}) i`,
      `INSERT INTO keyless SELECT i, repeat('x', 100) FROM generate_series(1, ${ROWS}) i`,
      `INSERT INTO keyless_colocated SELECT i, repeat('x', 100) FROM generate_series(1, ${ROWS}) i`,
      'INSERT INTO keyless_small VALUES (1), (2)',
      'INSERT INTO small SELECT generate_series(1, 500)',
    );
    backup = await takeBackup(repository, yugabyte.url('sharded'), ysqlSource(), () =>
      query(
        server.url('sharded'),
        "INSERT INTO ranged SELECT -i, 'late' FROM generate_series(1, 100) i",
        "UPDATE colocated SET b = 'late' WHERE a < 'k2'",
        'DELETE FROM descending WHERE tenant = 1',
      ),
    );
  });

  afterAll(async () => {
    await yugabyte?.stop();
    await repository?.remove();
  });

  test.each(['ranged', 'colocated', 'descending', 'hashed'])(
    '%s is cut into chunks of about the size asked for, at the read point',
    (table) => {
      expect(chunksOf(backup, table)).toBeGreaterThan(10);
      expect(rowsOf(backup, table)).toBe(ROWS);
      expect(uncutOf(backup, table)).toBeUndefined();
    },
  );

  test('a table smaller than a chunk stays whole', () => {
    expect(chunksOf(backup, 'small')).toBe(1);
    expect(uncutOf(backup, 'small')).toBeUndefined();
  });

  test.each(['keyless', 'keyless_colocated'])(
    '%s, which has no key, is one chunk, and the manifest says why',
    (table) => {
      expect(chunksOf(backup, table)).toBe(1);
      expect(uncutOf(backup, table)).toContain('no primary key');
    },
  );

  test('a keyless table that is small is no matter', () => {
    expect(uncutOf(backup, 'keyless_small')).toBeUndefined();
  });

  test('what was cut comes back exactly', async () => {
    const outcome = await runRestore(
      restoreContext(backup, yugabyte.url('sharded'), { into: { sharded: 'sharded_again' } }),
    );
    expect(outcome.problems).toEqual([]);
    expect(
      await query(
        server.url('sharded_again'),
        `SELECT (SELECT count(*)::int FROM ranged WHERE a > 0) AS ranged, (SELECT count(*)::int FROM ranged WHERE b = 'late') AS late,
           (SELECT count(*)::int FROM colocated WHERE b <> 'late') AS colocated, (SELECT count(*)::int FROM descending) AS descending`,
      ),
    ).toEqual([{ ranged: ROWS, late: 0, colocated: ROWS, descending: ROWS }]);
  });

  test('doctor names the tables that can not be cut', async () => {
    const checks = await checkSource(backupContext(repository, yugabyte.url('sharded')), ysqlSource());
    const cut = checks.find(({ name }) => name === 'tables can be cut');
    expect(cut).toMatchObject({ ok: true });
    expect(cut?.detail).toContain('public.keyless, public.keyless_colocated');
    expect(cut?.detail).not.toContain('keyless_small');
  });
});

describe('tables of PostgreSQL whose rows have no blocks that anybody can name', () => {
  let server: TestServer;
  let repository: TestRepository;

  beforeAll(async () => {
    server = await startServer();
    repository = await createRepository();
    await query(server.url(), 'CREATE DATABASE methods');
    await query(
      server.url('methods'),
      'CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler',
      'CREATE TABLE keyed (a int, b text, PRIMARY KEY (a, b)) USING other',
      `INSERT INTO keyed SELECT i % 3, i || repeat('x', 100) FROM generate_series(1, ${ROWS}) i`,
      `CREATE TABLE keyless (a int, b text) USING other`,
      `INSERT INTO keyless SELECT i, repeat('x', 100) FROM generate_series(1, ${ROWS}) i`,
      'CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw',
      "CREATE FOREIGN TABLE elsewhere (line text) SERVER files OPTIONS (filename '/etc/hostname')",
    );
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  test('are cut by their primary key; without one they are one chunk, and the manifest says why; foreign tables hold no rows of their own', async () => {
    const backup = await takeBackup(repository, server.url('methods'));
    expect(chunksOf(backup, 'keyed')).toBeGreaterThan(10);
    expect(rowsOf(backup, 'keyed')).toBe(ROWS);
    expect(chunksOf(backup, 'keyless')).toBe(1);
    expect(uncutOf(backup, 'keyless')).toContain('no primary key');
    expect(backup.manifest.databases[0]?.tables.map(({ table }) => table)).not.toContain('elsewhere');
    const outcome = await runRestore(
      restoreContext(backup, server.url('methods'), { into: { methods: 'again' } }),
    );
    expect(outcome.problems).toEqual([]);
  });
});

function chunksOf(backup: TestBackup, table: string): number {
  const objects = backup.objects.filter((object) => object.table.table === table);
  return new Set(objects.map(({ key }) => key.split('-').slice(0, 2).join('-'))).size;
}

function rowsOf(backup: TestBackup, table: string): number {
  return backup.objects
    .filter((object) => object.table.table === table)
    .reduce((sum, { rows }) => sum + rows, 0);
}

function uncutOf(backup: TestBackup, table: string): string | undefined {
  return backup.manifest.databases[0]?.tables.find((listed) => listed.table === table)?.uncut;
}
