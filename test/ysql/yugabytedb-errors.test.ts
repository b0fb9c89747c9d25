import { checkSource } from '../../engines/ysql/check.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { parseConnectionUrl } from '../../engines/ysql/server/connection-url.ts';
import { connect } from '../../engines/ysql/server/session.ts';
import { passingText } from '../../engines/ysql/server/yugabyte-errors.ts';
import { PASSING_ERRORS } from '../proxy/faults.ts';
import { startYsqlProxy, type YsqlProxy } from '../proxy/proxy.ts';
import { query } from '../support/sql.ts';
import {
  backupContext,
  createRepository,
  restoreContext,
  runRestore,
  startServer,
  type TestRepository,
  type TestServer,
  takeBackup,
  ysqlSource,
} from './harness.ts';

const signal = new AbortController().signal;
/** What is tested here has nothing to do with the program that dumps the schema. */
const STOCK = ysqlSource({ dumpProgram: 'pg_dump' });

let server: TestServer;
let proxy: YsqlProxy;
let exporting: YsqlProxy;
let repository: TestRepository;

beforeAll(async () => {
  server = await startServer();
  proxy = await startYsqlProxy({ upstreamUrl: server.url() });
  exporting = await startYsqlProxy({ upstreamUrl: server.url(), exportSnapshot: true });
  repository = await createRepository();
  await query(
    server.url(),
    'CREATE DATABASE shop',
    "CREATE ROLE plain LOGIN PASSWORD 'p' IN ROLE pg_read_all_data",
  );
  await query(
    server.url('shop'),
    'CREATE TABLE goods (id int PRIMARY KEY, name text)',
    "INSERT INTO goods SELECT i, 'n' || i FROM generate_series(1, 50) i",
  );
});

afterEach(() => proxy.faults.clear());

afterAll(async () => {
  await proxy?.stop();
  await exporting?.stop();
  await server?.stop();
  await repository?.remove();
});

function through({ port }: YsqlProxy, user?: string): string {
  const url = new URL(server.url('shop'));
  url.port = String(port);
  if (user !== undefined) [url.username, url.password] = [user, 'p'];
  return url.href;
}

describe('errors that pass by themselves', () => {
  test.each(PASSING_ERRORS)('%s %s is tried again', async (code, message) => {
    const session = await connect(parseConnectionUrl(through(proxy)), 'shop', signal);
    proxy.faults.inject({ statement: /now\(\)/, code, message });
    await expect(session.query('look', 'SELECT now()')).rejects.toMatchObject({
      code: 'YSQL_UNAVAILABLE',
      transient: true,
    });
    await session.query('begin', 'BEGIN');
    await expect(session.query('look', 'SELECT now()')).rejects.toMatchObject({ transient: true });
    await expect(session.query('go on', 'SELECT 1')).rejects.toMatchObject({ transient: true, maxEqual: 3 });
    await session.close();
  });

  test('in what a program wrote they are known too; other internal errors are not', () => {
    const said = `ysql_dump: error: query failed: ERROR:  ${PASSING_ERRORS[0]?.[1]}\nysql_dump: detail: Query was: SELECT 1`;
    expect(passingText(said)).toBeDefined();
    expect(passingText('ERROR:  cache lookup failed for relation 1234')).toBeUndefined();
  });

  test('an internal error of another kind is permanent, and on PostgreSQL every one is', async () => {
    const session = await connect(parseConnectionUrl(through(proxy)), 'shop', signal);
    proxy.faults.inject({
      statement: /now\(\)/,
      code: 'XX000',
      message: 'cache lookup failed for relation 12',
    });
    await expect(session.query('look', 'SELECT now()')).rejects.toMatchObject({ transient: false });
    await session.close();
    const stock = await connect(parseConnectionUrl(server.url('shop')), 'shop', signal);
    const raising = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'XX000', MESSAGE = 'Timed out'; END $$";
    await expect(stock.query('try', raising)).rejects.toMatchObject({ transient: false });
    await stock.close();
  });

  test.each([2, undefined])('ANALYZE that fails %s times does not fail a restore', async (times) => {
    const backup = await takeBackup(repository, through(proxy), STOCK);
    proxy.faults.inject({
      statement: /^ANALYZE/,
      code: 'XX000',
      message: 'Restarting a DDL transaction not supported',
      ...(times === undefined ? {} : { times }),
    });
    const outcome = await runRestore(restoreContext(backup, through(proxy), { restore: `an${times ?? 0}` }));
    expect(outcome.problems).toEqual([]);
    expect(outcome.notes ?? []).toEqual(
      times === undefined ? [expect.stringMatching(/without statistics.*public\.goods.*ANALYZE/s)] : [],
    );
  });
});

describe('a role that may not read as of an instant', () => {
  test('reads a snapshot that is exported, and the read point says why', async () => {
    const backup = await takeBackup(repository, through(exporting, 'plain'), STOCK);
    expect(backup.readPoint).toMatchObject({
      kind: 'pg-snapshot',
      reason: 'role "plain" may not set yb_read_time',
    });
    expect(backup.manifest.totals.rows).toBe(50);
  });

  test('is told what to grant where no snapshot can be exported, by the backup and by doctor', async () => {
    const remedy =
      /GRANT SET ON PARAMETER yb_read_time, yb_disable_catalog_version_check TO "plain".*ysql_enable_pg_export_snapshot/;
    const opening = ysqlEngine.openReadPoint(
      backupContext(repository, through(proxy, 'plain')),
      ysqlSource(),
      1,
    );
    await expect(opening).rejects.toMatchObject({
      code: 'YSQL_NO_READ_POINT',
      transient: false,
      remedy: expect.stringMatching(remedy),
    });
    const checks = await checkSource(backupContext(repository, through(proxy, 'plain')), ysqlSource());
    expect(checks.find(({ name }) => name === 'privileges and read point')).toMatchObject({
      ok: false,
      remedy: expect.stringMatching(remedy),
    });
  });

  test('reads the instant once it was granted, first without and then with DDL beside it', async () => {
    await query(through(proxy), 'GRANT SET ON PARAMETER yb_read_time TO plain');
    const context = backupContext(repository, through(proxy, 'plain'));
    const detail = async () =>
      (await checkSource(context, ysqlSource())).find(({ name }) => name === 'privileges and read point')
        ?.detail;
    expect(await detail()).toMatch(/may not set yb_disable_catalog_version_check.*GRANT SET/);
    await query(through(proxy), 'GRANT SET ON PARAMETER yb_disable_catalog_version_check TO plain');
    expect(await detail()).toMatch(/DDL beside a backup does not end its sessions/);
    const { readPoint } = await ysqlEngine.openReadPoint(context, ysqlSource(), 1);
    expect(readPoint.kind).toBe('yb-read-time');
  });
});

describe('a catalog version that rises', () => {
  /** How many of many flushes that don't wait find the source not at rest, while `statements` run again and again in three sessions. */
  async function restless(...statements: readonly string[]): Promise<number> {
    let stop = false;
    const running = [1, 2, 3].map(async (session) => {
      while (!stop)
        await query(server.url('shop'), ...statements.map((sql) => sql.replaceAll('$', String(session))));
    });
    const context = backupContext(repository, through(proxy));
    let found = 0;
    try {
      for (let round = 0; round < 60; round += 1) {
        await ysqlEngine.flush(context, ysqlSource(), { waitMs: 0 }).catch((error: unknown) => {
          expect(error).toMatchObject({ code: 'YSQL_DDL_UNDER_WAY', transient: true });
          found += 1;
        });
      }
    } finally {
      stop = true;
      await Promise.all(running);
    }
    return found;
  }

  beforeAll(() =>
    query(
      server.url('shop'),
      ...[1, 2, 3].map((session) => `CREATE TABLE changing_${session} AS SELECT 1 AS a`),
    ),
  );

  test('by ANALYZE does not keep a flush from its rest', async () => {
    expect(await restless(...Array<string>(20).fill('ANALYZE changing_$'))).toBe(0);
  });

  test('by DDL that breaks does', async () => {
    const alter = ['ALTER TABLE changing_$ ADD COLUMN b int', 'ALTER TABLE changing_$ DROP COLUMN b'];
    expect(await restless(...Array<readonly string[]>(5).fill(alter).flat())).toBeGreaterThan(0);
  });
});
