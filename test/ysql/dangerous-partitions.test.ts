import { query } from '../support/sql.ts';
import { compareDatabases } from './compare.ts';
import {
  createRepository,
  restoreContext,
  runRestore,
  startServer,
  type TestRepository,
  type TestServer,
  takeBackup,
  ysqlSource,
} from './harness.ts';

/*
 * The hash of an enum's value is that of its OID, which is another in each database: so a row may belong into another partition of the copy.
 * pg_dump loads such rows through the partitioned table (`getPartitioningInfo`, src/bin/pg_dump/pg_dump.c).
 */

/** Values that came later have OIDs that don't follow those before them, and pg_dump creates them in the enum's order. */
const ENUM = ["CREATE TYPE en AS ENUM ('o', 'p')", "ALTER TYPE en ADD VALUE 'between' BEFORE 'p'"];
const ROWS = `SELECT (enum_range(NULL::en))[1 + i % 3] AS e, 'row ' || i AS t FROM generate_series(1, 300) i`;

function partitions(table: string, rest = ''): readonly string[] {
  return [0, 1, 2].map(
    (remainder) =>
      `CREATE TABLE ${table}_${remainder} PARTITION OF ${table} FOR VALUES WITH (MODULUS 3, REMAINDER ${remainder})${rest}`,
  );
}

const KEYS: Readonly<Record<string, readonly string[]>> = {
  'an enum': [
    'CREATE TABLE phe (e en, t text) PARTITION BY HASH (e)',
    ...partitions('phe'),
    `INSERT INTO phe ${ROWS}`,
  ],
  'an expression of an enum': [
    "CREATE TABLE phe (e en, t text) PARTITION BY HASH ((coalesce(e, 'o'::en)))",
    ...partitions('phe'),
    `INSERT INTO phe ${ROWS}`,
  ],
  'an array of an enum': [
    'CREATE TABLE phe (e en[], t text) PARTITION BY HASH (e)',
    ...partitions('phe'),
    `INSERT INTO phe SELECT ARRAY[e, e], t FROM (${ROWS}) r`,
  ],
  'a domain over an enum': [
    'CREATE DOMAIN den AS en',
    'CREATE TABLE phe (e den, t text) PARTITION BY HASH (e)',
    ...partitions('phe'),
    `INSERT INTO phe ${ROWS}`,
  ],
  'a range of an enum': [
    'CREATE TYPE enr AS RANGE (subtype = en)',
    'CREATE TABLE phe (e enr, t text) PARTITION BY HASH (e)',
    ...partitions('phe'),
    `INSERT INTO phe SELECT enr(e, e, '[]'), t FROM (${ROWS}) r`,
  ],
  'a row with an enum': [
    'CREATE TYPE pair AS (e en, i int)',
    'CREATE TABLE phe (e pair, t text) PARTITION BY HASH (e)',
    ...partitions('phe'),
    `INSERT INTO phe SELECT ROW(e, 1)::pair, t FROM (${ROWS}) r`,
  ],
  'an enum, below a list, with a key, in partitions whose columns stand in another order': [
    'CREATE TABLE phe (l int, e en, t text, PRIMARY KEY (l, e, t)) PARTITION BY LIST (l)',
    'CREATE TABLE "phe 1" PARTITION OF phe FOR VALUES IN (1) PARTITION BY HASH (e)',
    'CREATE TABLE phe_2 PARTITION OF phe FOR VALUES IN (2)',
    'CREATE TABLE p_0 (t text NOT NULL, e en NOT NULL, l int NOT NULL)',
    'ALTER TABLE "phe 1" ATTACH PARTITION p_0 FOR VALUES WITH (MODULUS 3, REMAINDER 0)',
    'CREATE TABLE p_1 PARTITION OF "phe 1" FOR VALUES WITH (MODULUS 3, REMAINDER 1)',
    'CREATE TABLE p_2 PARTITION OF "phe 1" FOR VALUES WITH (MODULUS 3, REMAINDER 2)',
    `INSERT INTO phe SELECT 1 + (t LIKE '%7')::int, e, t || E'\\t\\\\' FROM (${ROWS}) r`,
  ],
};

describe('hash partitions of which the hash is another in the copy', () => {
  let server: TestServer;
  let repository: TestRepository;
  let count = 0;

  beforeAll(async () => {
    server = await startServer();
    repository = await createRepository();
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  async function backedUp(statements: readonly string[]) {
    count += 1;
    const source = `hashed_${count}`;
    await query(server.url(), `CREATE DATABASE ${source}`);
    for (const statement of [...ENUM, ...statements]) await query(server.url(source), statement);
    const backup = await takeBackup(repository, server.url(source), ysqlSource({ chunkBytes: 500 }));
    return { source, copy: `${source}_copy`, backup };
  }

  const content = async (name: string) =>
    (
      await query(
        server.url(name),
        "SELECT count(*)::int AS rows, md5(string_agg(p::text, ';' ORDER BY t)) AS hash FROM phe p",
      )
    )[0];

  test.each(Object.keys(KEYS))('by %s: every row is there, and compared', async (what) => {
    const { source, copy, backup } = await backedUp(KEYS[what] ?? []);
    const outcome = await runRestore(restoreContext(backup, server.url(), { into: { [source]: copy } }));
    expect(outcome.problems).toEqual([]);
    expect(outcome.compared).toMatch(/rows of public\.phe(?: 1)? as a whole/);
    expect(await content(copy)).toEqual(await content(source));
    expect(await content(copy)).toMatchObject({ rows: 300 });
    const schema = (
      await compareDatabases(server, server.url(source), server.url(copy), { ignoreDatabaseProperties: true })
    ).filter((difference) => /^[-+] /.test(difference));
    expect(schema).toEqual([]);
  });

  test('a row that is changed, lost or doubled among them is found', async () => {
    const { source, copy, backup } = await backedUp(KEYS['an enum'] ?? []);
    const context = restoreContext(backup, server.url(), { into: { [source]: copy } });
    const { restore } = (await import('../../engines/ysql/engine.ts')).ysqlEngine;
    const plan = await restore.plan(context);
    await restore.prepare(context);
    for (let task = 0; task < plan.tasks; task += 1) await restore.load(context, task);
    const working = `${copy}_restoring_${context.request.restore}`;
    await query(server.url(working), "UPDATE phe SET t = 'row 1' WHERE t = 'row 4'");
    expect((await restore.finish(context)).problems).toEqual([
      expect.stringMatching(/^the partitions of public\.phe differ from the backup in their content/),
    ]);
    await query(server.url(working), "DELETE FROM phe WHERE t = 'row 5'");
    expect((await restore.finish(context)).problems).toEqual([
      'the partitions of public.phe have 299 rows, the manifest says 300',
    ]);
  });

  test('of built-in types alone are compared one by one', async () => {
    const { source, copy, backup } = await backedUp([
      'CREATE TABLE phe (e en, i int, t text) PARTITION BY HASH (i, t)',
      ...partitions('phe'),
      `INSERT INTO phe SELECT e, 5, t FROM (${ROWS}) r`,
    ]);
    const outcome = await runRestore(restoreContext(backup, server.url(), { into: { [source]: copy } }));
    expect(outcome.problems).toEqual([]);
    expect(outcome.compared).not.toMatch(/as a whole/);
  });

  test('take data alone through the partitioned table, whose triggers stay quiet', async () => {
    const { source, backup } = await backedUp(KEYS['an enum'] ?? []);
    const copy = `${source}_existing`;
    await query(server.url(), `CREATE DATABASE ${copy}`);
    // The enum as pg_dump would make it: in its order.
    await query(
      server.url(copy),
      "CREATE TYPE en AS ENUM ('o', 'between', 'p')",
      'CREATE TABLE phe (e en, t text) PARTITION BY HASH (e)',
      ...partitions('phe'),
      'CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE $m$no$m$; END $$',
      'CREATE TRIGGER whole BEFORE INSERT ON phe FOR EACH STATEMENT EXECUTE FUNCTION refuse()',
      'CREATE TRIGGER each AFTER INSERT ON phe FOR EACH ROW EXECUTE FUNCTION refuse()',
      'ALTER TABLE phe ENABLE ALWAYS TRIGGER whole',
    );
    const outcome = await runRestore(
      restoreContext(backup, server.url(), { into: { [source]: copy }, contents: 'data' }),
    );
    expect(outcome.problems).toEqual([]);
    expect(await content(copy)).toEqual(await content(source));
    expect(
      await query(
        server.url(copy),
        "SELECT tgname AS name, tgenabled AS enabled FROM pg_trigger WHERE tgrelid = 'phe'::regclass ORDER BY 1",
      ),
    ).toEqual([
      { name: 'each', enabled: 'O' },
      { name: 'whole', enabled: 'A' },
    ]);
  });
});
