import { startYsqlProxy, type YsqlProxy } from '../proxy/proxy.ts';
import { query } from '../support/sql.ts';
import {
  createRepository,
  restoreContext,
  runRestore,
  startServer,
  type TestBackup,
  type TestRepository,
  type TestServer,
  takeBackup,
} from './harness.ts';

describe("tables of each of YugabyteDB's shardings", () => {
  let server: TestServer;
  let proxy: YsqlProxy;
  let repository: TestRepository;

  beforeAll(async () => {
    server = await startServer();
    proxy = await startYsqlProxy({ upstreamUrl: server.url() });
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
      'CREATE TABLE hashed (a int PRIMARY KEY, b text)',
      "INSERT INTO ranged SELECT i, repeat('x', 100) FROM generate_series(1, 3000) i",
      "INSERT INTO colocated SELECT 'k' || i, repeat('x', 100) FROM generate_series(1, 3000) i",
      "INSERT INTO descending SELECT i % 2, now() + i * interval '1 s', repeat('x', 100) FROM generate_series(1, 3000) i",
      "INSERT INTO hashed SELECT i, repeat('x', 100) FROM generate_series(1, 3000) i",
    );
  });

  afterAll(async () => {
    await proxy?.stop();
    await server?.stop();
    await repository?.remove();
  });

  test.each(['ranged', 'colocated', 'descending', 'hashed'])(
    '%s is cut into chunks of the size asked for',
    async (table) => {
      const backup = await takeBackup(repository, throughProxy('sharded'));
      expect(chunksOf(backup, table)).toBeGreaterThan(10);
      expect(rowsOf(backup, table)).toBe(3000);
      const outcome = await runRestore(restoreContext(backup, throughProxy('sharded'), { scratch: true }));
      expect(outcome.problems).toEqual([]);
    },
  );

  function throughProxy(database: string): string {
    const url = new URL(server.url(database));
    url.port = String(proxy.port);
    return url.href;
  }
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
