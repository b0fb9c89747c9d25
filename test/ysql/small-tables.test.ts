import { readFile, stat } from 'node:fs/promises';
import { cutTables, readShapes } from '../../engines/ysql/chunks.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { readRelations } from '../../engines/ysql/server/catalog.ts';
import { parseConnectionUrl } from '../../engines/ysql/server/connection-url.ts';
import { withSession } from '../../engines/ysql/server/session.ts';
import { messageOf } from '../../model/errors.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { query } from '../support/sql.ts';
import {
  createRepository,
  restoreContext,
  type TestBackup,
  type TestRepository,
  takeBackup,
  ysqlSource,
} from './harness.ts';

const TABLES = 120;
const MIB = 1024 * 1024;

describe('a database of many small tables', () => {
  let server: PostgresServer;
  let repository: TestRepository;
  let backup: TestBackup;

  beforeAll(async () => {
    server = await startPostgres({ settings: { log_statement: 'all', autovacuum: 'off' } });
    repository = await createRepository();
    await query(server.url(), 'CREATE DATABASE small');
    await query(
      server.url('small'),
      `DO $$ BEGIN FOR i IN 1..${TABLES} LOOP
         EXECUTE format('CREATE TABLE t%s (id bigint PRIMARY KEY, name text, at timestamptz)', i);
         EXECUTE format('INSERT INTO t%s SELECT n, md5(n::text), now() FROM generate_series(1, 10) n', i);
       END LOOP; END $$`,
      // Its maps of free space and visibility count for no row.
      'VACUUM ANALYZE',
    );
    backup = await takeBackup(repository, server.url('small'), ysqlSource({ chunkBytes: MIB }));
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  /** What an export expects, bytes of COPY text. */
  async function expectedBytes(database: string): Promise<number> {
    const target = parseConnectionUrl(server.url(database));
    return await withSession(target, database, new AbortController().signal, async (session) => {
      const relations = (await readRelations(session)).filter(({ kind }) => kind === 'r');
      const shapes = await readShapes(session, relations, 'postgresql');
      const tables = relations.flatMap(({ oid, schema, table }) => {
        const shape = shapes.get(oid);
        return shape === undefined
          ? []
          : [{ table: { database, schema, table }, shape, condition: undefined }];
      });
      return cutTables(tables, 'postgresql', { chunkBytes: MIB, stable: false }).reduce(
        (sum, chunk) => sum + chunk.estimatedBytes,
        0,
      );
    });
  }

  test('is expected to be about as large as it is, and not by the files of each table', async () => {
    const { bytes } = backup.manifest.totals;
    const expected = await expectedBytes('small');
    expect(expected).toBeGreaterThan(bytes / 3);
    expect(expected).toBeLessThan(bytes * 3);
  });

  test('what is in TOAST tables counts, and their indexes do not', async () => {
    await query(server.url(), 'CREATE DATABASE toasted');
    await query(
      server.url('toasted'),
      'CREATE TABLE long (id int PRIMARY KEY, text text)',
      `INSERT INTO long SELECT n, (SELECT string_agg(md5((n * i)::text), '') FROM generate_series(1, 2000) i)
       FROM generate_series(1, 20) n`,
    );
    const [row] = await query(server.url('toasted'), 'SELECT sum(length(text))::float8 AS bytes FROM long');
    const expected = await expectedBytes('toasted');
    expect(expected).toBeGreaterThan(Number(row?.bytes) / 2);
    expect(expected).toBeLessThan(Number(row?.bytes) * 3);
  });

  test('comes back by fewer than three statements a table, and its post-data is one activity', async () => {
    const { restore } = ysqlEngine;
    const context = restoreContext(backup, server.url(), { into: { small: 'small_again' }, check: 'rows' });
    const logged = (await stat(server.logFile)).size;
    const plan = await restore.plan(context);
    await restore.prepare(context);
    for (let task = 0; task < plan.tasks; task += 1) await restore.load(context, task);
    for (const [wave, units] of plan.postDataWaves.entries()) {
      for (let unit = 0; unit < units; unit += 1) await restore.postData(context, { wave, unit, units });
    }
    const outcome = await restore.finish(context);
    expect(outcome).toMatchObject({ problems: [], tables: TABLES, rows: 10 * TABLES });
    expect(plan.postDataWaves).toEqual([1]);
    const log = (await readFile(server.logFile)).subarray(logged).toString();
    const statements = log.split('\n').filter((line) => / LOG: {2}(?:statement|execute [^:]*): /.test(line));
    expect(statements.length).toBeLessThan(3 * TABLES);
    expect(
      await query(
        server.url('small_again'),
        "SELECT count(*)::int FROM pg_constraint WHERE contype = 'p' AND connamespace = 'public'::regnamespace",
      ),
    ).toEqual([{ count: TABLES }]);
  });

  test('where the rows of one table are refused, the error names it, and none that came with them stays', async () => {
    await query(server.url(), 'CREATE DATABASE refusing TEMPLATE small');
    await query(
      server.url('refusing'),
      `DO $$ BEGIN FOR i IN 1..${TABLES} LOOP EXECUTE format('TRUNCATE t%s', i); END LOOP; END $$`,
      "ALTER TABLE t7 ADD CHECK (name = 'nobody')",
    );
    const { restore } = ysqlEngine;
    const context = restoreContext(backup, server.url(), { into: { small: 'refusing' }, contents: 'data' });
    const plan = await restore.plan(context);
    await restore.prepare(context);
    const failures: string[] = [];
    for (let task = 0; task < plan.tasks; task += 1) {
      await restore.load(context, task).catch((error: unknown) => failures.push(messageOf(error)));
    }
    expect(failures).toEqual([expect.stringMatching(/load data\/.* into public\.t7\b/)]);
    const [counted] = await query(
      server.url('refusing'),
      `SELECT (SELECT count(*)::int FROM holdfast_restore.loaded) AS loaded,
         sum((xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I', tablename), false, true, '')))[1]::text::int)::int AS rows
       FROM pg_tables WHERE schemaname = 'public'`,
    );
    // What is noted as loaded is there, and what came with t7 is neither.
    expect(counted?.loaded).toBeGreaterThan(0);
    expect(counted?.loaded).toBeLessThan(TABLES - 1);
    expect(counted?.rows).toBe(10 * counted?.loaded);
    await restore.discard(context);
  });

  test('where one of the objects that are created together is refused, the error names it', async () => {
    await query(server.url(), 'CREATE DATABASE collated', 'CREATE DATABASE collated_again');
    await query(
      server.url('collated'),
      "CREATE COLLATION mine (locale = 'C')",
      'CREATE TABLE a (b text COLLATE mine); CREATE TABLE c (d int)',
    );
    // Not seen as something in an empty database.
    await query(server.url('collated_again'), "CREATE COLLATION mine (locale = 'C')");
    const collated = await takeBackup(repository, server.url('collated'), ysqlSource());
    const context = restoreContext(collated, server.url(), { into: { collated: 'collated_again' } });
    await ysqlEngine.restore.plan(context);
    await expect(ysqlEngine.restore.prepare(context)).rejects.toThrow(/create COLLATION public\.mine/);
  });
});
