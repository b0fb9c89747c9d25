import type { RestoreContext } from '../../engines/engine.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { quoteLiteral } from '../../engines/ysql/server/identifiers.ts';
import { FETCHED_POSTGRES_RUNS_HERE } from '../../parts/postgres-versions.ts';
import { CLIENT_LINE_NAMES, CLIENT_LINES } from '../proxy/client-lines.ts';
import { query } from '../support/sql.ts';
import { compareDatabases } from './compare.ts';
import {
  createRepository,
  restoreContext,
  runRestore,
  type TestBackup,
  type TestRepository,
  takeBackup,
  ysqlSource,
} from './harness.ts';
import { startYugabyteStandIn, type YugabyteStandIn } from './yugabyte-stand-in.ts';

/*
 * Databases as the dump programs of each line write them: UNIQUE in two statements and with bare names (R2, R5, R11 of the facts on
 * the programs), partitions (R6), parts of a backup (R3), no index beside a setting (R13), tablespaces (R14), excluded statistics (R20).
 */
const RICH = [
  'CREATE TABLE parent (id int PRIMARY KEY, code text CONSTRAINT parent_code_key UNIQUE)',
  'CREATE TABLE child (id int PRIMARY KEY, pcode text REFERENCES parent (code), n int)',
  'CREATE TABLE "Mixed" ("Id" int, "Code" text, CONSTRAINT "Mixed_Id_key" UNIQUE ("Id"), CONSTRAINT "User" UNIQUE ("Code"), UNIQUE ("Id", "Code") DEFERRABLE INITIALLY DEFERRED)',
  'CREATE INDEX child_n ON child (n DESC NULLS LAST, (n + 1)) WHERE n > 0',
  'CREATE TABLE part (region text, id int, note text, PRIMARY KEY (region, id), UNIQUE (region, id, note)) PARTITION BY LIST (region)',
  "CREATE TABLE a_part_eu PARTITION OF part FOR VALUES IN ('eu')",
  "CREATE TABLE part_us PARTITION OF part FOR VALUES IN ('us') PARTITION BY RANGE (id)",
  'CREATE TABLE part_us_1 PARTITION OF part_us FOR VALUES FROM (1) TO (1000)',
  'CREATE TABLE nopk (a int, b int)',
  'CREATE STATISTICS st (dependencies) ON a, b FROM nopk',
  "COMMENT ON STATISTICS st IS 'of the table without a key'",
  "COMMENT ON CONSTRAINT parent_pkey ON parent IS 'lost by the program, not by us'",
  'ALTER TABLE child REPLICA IDENTITY USING INDEX child_pkey',
  "INSERT INTO parent SELECT i, 'c' || i FROM generate_series(1, 50) i",
  "INSERT INTO child SELECT i, 'c' || i, i FROM generate_series(1, 50) i",
  `INSERT INTO "Mixed" SELECT i, 'c' || i FROM generate_series(1, 50) i`,
  "INSERT INTO part SELECT CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END, i, 'n' || i FROM generate_series(1, 40) i",
];

const LINES = CLIENT_LINE_NAMES.filter(
  (line) => CLIENT_LINES[line].major === 15 || FETCHED_POSTGRES_RUNS_HERE,
);

describe.each(LINES)('what ysql_dump of %s writes', (line) => {
  let yugabyte: YugabyteStandIn;
  let repository: TestRepository;
  let backup: TestBackup;

  beforeAll(async () => {
    yugabyte = await startYugabyteStandIn(line);
    repository = await createRepository();
    await query(yugabyte.server.url(), 'CREATE DATABASE rich');
    await query(yugabyte.server.url('rich'), ...RICH);
    backup = await takeBackup(repository, yugabyte.url('rich'));
  });

  afterAll(async () => {
    await yugabyte?.stop();
    await repository?.remove();
  });

  const into = (to: string, changes = {}) =>
    restoreContext(backup, yugabyte.url('rich'), { into: { rich: to }, ...changes });
  const differences = (to: string) =>
    compareDatabases(yugabyte.server, yugabyte.server.url('rich'), yugabyte.server.url(to), {
      ignoreDatabaseProperties: true,
    });

  test('comes back whole: UNIQUE of two statements, bare names, partitions, what the program loses', async () => {
    const outcome = await runRestore(into('whole'));
    expect(outcome.problems).toEqual([]);
    expect(await differences('whole')).toEqual([]);
  });

  test('comes back in part, with the partitions of a table', async () => {
    const tables = { include: ['public.part', 'public.nopk'], exclude: [] };
    const outcome = await runRestore(into('part', { tables }));
    expect(outcome.problems).toEqual([]);
    const url = yugabyte.server.url('part');
    expect(await query(url, 'SELECT count(*)::int FROM part')).toEqual([{ count: 40 }]);
    expect(
      await query(
        url,
        `SELECT string_agg(relname, ' ' ORDER BY relname) AS names FROM pg_class
         WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace`,
      ),
    ).toEqual([{ names: 'a_part_eu nopk part part_us part_us_1' }]);
  });

  test('comes back where a worker dies between the statements of a unit and its mark', async () => {
    const { restore } = ysqlEngine;
    const target = async () => {
      const [found] = await query(
        yugabyte.server.url(),
        `SELECT datname AS name FROM pg_database WHERE datname LIKE 'forgotten%'`,
      );
      return yugabyte.server.url(String(found?.name));
    };
    const marks = async () => {
      const rows = await query(await target(), 'SELECT unit FROM holdfast_restore.applied');
      return rows.map(({ unit }) => String(unit));
    };
    const forgetful: typeof ysqlEngine = {
      ...ysqlEngine,
      restore: {
        ...restore,
        async postData(attempt: RestoreContext, work) {
          const before = await marks();
          await restore.postData(attempt, work);
          if (attempt.attempt > 1) return;
          const url = await target();
          const kept = ['', ...before].map(quoteLiteral).join(', ');
          await query(url, `DELETE FROM holdfast_restore.applied WHERE NOT (unit = ANY (ARRAY[${kept}]))`);
        },
      },
    };
    const outcome = await runRestore(into('forgotten', { parallelism: 1 }), forgetful);
    expect(outcome.problems).toEqual([]);
    expect(await differences('forgotten')).toEqual([]);
  });

  test('leaves the statistics of an excluded table out', async () => {
    const without = await takeBackup(
      repository,
      yugabyte.url('rich'),
      ysqlSource({ tables: { include: [], exclude: ['public.nopk'] } }),
    );
    const outcome = await runRestore(
      restoreContext(without, yugabyte.url('rich'), { into: { rich: 'without_nopk' } }),
    );
    expect(outcome.problems).toEqual([]);
    expect(await query(yugabyte.server.url('without_nopk'), 'SELECT FROM pg_statistic_ext')).toEqual([]);
  });

  test('tablets, tablegroups and range splits come back, or are left to the target', async () => {
    await query(yugabyte.server.url(), 'CREATE DATABASE split');
    await query(
      yugabyte.url('split'),
      'CREATE TABLEGROUP "My Group"',
      'CREATE TABLE hashed (a int, b int, PRIMARY KEY ((a) HASH, b ASC)) SPLIT INTO 7 TABLETS',
      'CREATE TABLE ranged (a int, b text, PRIMARY KEY (a ASC)) WITH (fillfactor=70) SPLIT AT VALUES ((10), (20))',
      'CREATE INDEX ranged_b ON ranged (b HASH) SPLIT INTO 5 TABLETS WHERE a > 0',
      'CREATE TABLE grouped (a int PRIMARY KEY) TABLEGROUP "My Group"',
      'CREATE TABLE alone (a int PRIMARY KEY)',
      'INSERT INTO hashed SELECT i, i FROM generate_series(1, 20) i',
    );
    const placement = (database: string) =>
      query(
        yugabyte.server.url(database),
        `SELECT c.relname AS name, p.tablets::int, p.clause, g.grpname AS tablegroup
         FROM information_schema.yb_placement p JOIN pg_class c ON c.oid = p.relation
         LEFT JOIN information_schema.pg_yb_tablegroup g ON g.oid = p.tablegroup ORDER BY 1`,
      );
    const saved = await takeBackup(repository, yugabyte.url('split'));
    const restore = (to: string, changes = {}) =>
      runRestore(restoreContext(saved, yugabyte.url('split'), { into: { split: to }, ...changes }));
    await restore('split_again');
    const split = [
      { name: 'grouped', tablets: 1, clause: null, tablegroup: 'My Group' },
      { name: 'hashed', tablets: 7, clause: null, tablegroup: null },
      { name: 'ranged', tablets: 2, clause: 'SPLIT AT VALUES ((10), (20))', tablegroup: null },
      { name: 'ranged_b', tablets: 5, clause: null, tablegroup: null },
    ];
    const unsplit = [{ name: 'alone', tablets: 3, clause: null, tablegroup: null }];
    expect(await placement('split_again')).toEqual(expect.arrayContaining([...split, ...unsplit]));
    await restore('left_to_target', { placement: 'target' });
    expect(await placement('left_to_target')).toEqual([]);
    expect(await query(yugabyte.server.url('left_to_target'), 'SELECT count(*)::int FROM hashed')).toEqual([
      { count: 20 },
    ]);
  });

  test('a colocated database comes back as one: its tables together by their ids, those apart apart, keys in their orders', async () => {
    await query(yugabyte.url('postgres'), 'CREATE DATABASE together WITH colocation = true');
    await query(
      yugabyte.url('together'),
      'CREATE TABLE plain (a int PRIMARY KEY, b text)',
      'CREATE TABLE ordered (a int, b text, c int, PRIMARY KEY (a DESC, b ASC, c))',
      'CREATE TABLE numbered (a int PRIMARY KEY, b int) WITH (fillfactor = 70, colocation_id = 123456)',
      'CREATE INDEX numbered_b ON numbered (b DESC) WHERE a > 0',
      'CREATE UNIQUE INDEX plain_b ON plain (b) INCLUDE (a)',
      'CREATE TABLE apart (a int PRIMARY KEY, b int) WITH (colocation = false) SPLIT INTO 5 TABLETS',
      'CREATE INDEX apart_b ON apart (b HASH) SPLIT INTO 4 TABLETS',
      'CREATE TABLE apart_ranged (a int, PRIMARY KEY (a DESC)) WITH (colocation = false) SPLIT AT VALUES ((20), (10))',
      'CREATE TABLE parts (a int, b int, PRIMARY KEY (a, b)) PARTITION BY HASH (a)',
      'CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (modulus 2, remainder 0)',
      'CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (modulus 2, remainder 1)',
      'CREATE MATERIALIZED VIEW seen AS SELECT a FROM plain',
      ...['plain', 'numbered', 'apart'].map(
        (table) => `INSERT INTO ${table} SELECT i, i FROM generate_series(1, 20) i`,
      ),
      'INSERT INTO ordered SELECT i, i, i FROM generate_series(1, 20) i',
      'INSERT INTO parts SELECT i, i FROM generate_series(1, 20) i',
      'REFRESH MATERIALIZED VIEW seen',
    );
    const properties = (database: string) =>
      query(
        yugabyte.url(database),
        `SELECT c.relname AS name, p.num_tablets::int AS tablets, p.num_hash_key_columns::int AS hashed, p.is_colocated AS together, p.colocation_id AS id,
           pg_catalog.yb_get_range_split_clause(c.oid) AS split, (SELECT key FROM information_schema.yb_keys k WHERE k.relation = c.oid) AS key, c.reloptions AS options
         FROM pg_class c CROSS JOIN LATERAL yb_table_properties(c.oid) p LEFT JOIN pg_index i ON i.indexrelid = c.oid
         WHERE c.relkind IN ('r', 'i', 'p', 'm') AND i.indisprimary IS DISTINCT FROM true AND c.relnamespace = 'public'::regnamespace ORDER BY 1`,
      );
    const colocated = async (database: string) =>
      (await query(yugabyte.url(database), 'SELECT yb_is_database_colocated() AS is'))[0]?.is;
    const before = await properties('together');
    expect(before).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: 'numbered', together: true, id: 123456, hashed: 0 }),
        expect.objectContaining({ name: 'ordered', key: 'a DESC, b ASC, c', together: true }),
        expect.objectContaining({ name: 'apart', together: false, id: null, tablets: 5, hashed: 1 }),
      ]),
    );
    const saved = await takeBackup(repository, yugabyte.url('together'));
    const restore = (to: string, changes = {}) =>
      runRestore(restoreContext(saved, yugabyte.url('together'), { into: { together: to }, ...changes }));
    expect((await restore('together_again')).problems).toEqual([]);
    expect(await colocated('together_again')).toBe(true);
    const after = await properties('together_again');
    const withoutKey = (rows: readonly Record<string, unknown>[]) =>
      rows.map(({ key: _, ...others }) => others);
    expect(withoutKey(after)).toEqual(withoutKey(before));
    // The program writes the orders of every key, also where nobody did before.
    const keyOf = (table: string) => after.find(({ name }) => name === table)?.key;
    expect(keyOf('ordered')).toBe('a DESC, b ASC, c');
    expect(keyOf('apart_ranged')).toBe('a DESC');
    expect(keyOf('plain')).toBe('a ASC');
    expect(keyOf('apart')).toBe('(a) HASH');
    const differ = await compareDatabases(
      yugabyte.server,
      yugabyte.server.url('together'),
      yugabyte.server.url('together_again'),
      { ignoreDatabaseProperties: true },
    );
    expect(differ).toEqual([]);
    await restore('left_alone', { placement: 'target' });
    expect(await colocated('left_alone')).toBe(false);
    const left = await properties('left_alone');
    expect(left.filter(({ together, id }) => together === true || id !== null)).toEqual([]);
    expect(left.find(({ name }) => name === 'numbered')?.options).toEqual(['fillfactor=70']);
  });

  test('no index is built without its backfill', () => {
    expect(yugabyte.nonconcurrent).toEqual([]);
  });
});

test('tablespaces come back with the globals, and one that is missing is told', async () => {
  const yugabyte = await startYugabyteStandIn('2025.2');
  const repository = await createRepository();
  const { server } = yugabyte;
  await query(
    server.url(),
    'ALTER SYSTEM SET allow_in_place_tablespaces = on',
    'SELECT pg_reload_conf()',
    'CREATE DATABASE placed',
  );
  await query(server.url(), `CREATE TABLESPACE "Far Away" LOCATION ''`);
  await query(server.url('placed'), 'CREATE TABLE t (a int) TABLESPACE "Far Away"');
  const backup = await takeBackup(repository, yugabyte.url('placed'), ysqlSource({ globals: 'roles' }));
  await query(server.url('placed'), 'DROP TABLE t');
  await query(server.url(), 'DROP TABLESPACE "Far Away"');
  const { notes = [] } = await runRestore(
    restoreContext(backup, yugabyte.url('placed'), { into: { placed: 'without' } }),
  );
  expect(notes.join('\n')).toMatch(/has no tablespace "Far Away"/);
  const placeOf =
    "SELECT coalesce(spcname, 'default') AS place FROM pg_class c LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace WHERE relname = 't'";
  expect(await query(server.url('without'), placeOf)).toEqual([{ place: 'default' }]);
  await runRestore(
    restoreContext(backup, yugabyte.url('placed'), { into: { placed: 'with' }, globals: true }),
  );
  expect(await query(server.url('with'), placeOf)).toEqual([{ place: 'Far Away' }]);
  await yugabyte.stop();
  await repository.remove();
});

test('an empty database comes back, and nothing says that it was compared', async () => {
  const yugabyte = await startYugabyteStandIn('2025.2');
  const repository = await createRepository();
  await query(yugabyte.server.url(), 'CREATE DATABASE bare');
  const backup = await takeBackup(repository, yugabyte.url('bare'));
  const outcome = await runRestore(restoreContext(backup, yugabyte.url('bare'), { into: { bare: 'again' } }));
  expect(outcome).toMatchObject({ comparedNothing: true, notes: [expect.stringContaining('no table')] });
  await repository.remove();
  await yugabyte.stop();
});
