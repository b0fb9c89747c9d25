import { Client } from 'pg';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { startYsqlProxy, type YsqlProxy } from './proxy.ts';

/* Unpleasant answers of the proxy, each with the fact that it rests on. */

let postgres: PostgresServer;
let proxy: YsqlProxy;
const open: Client[] = [];

async function session(url = proxy.url, database?: string): Promise<Client> {
  const target = new URL(url);
  if (database !== undefined) target.pathname = database;
  const client = new Client({ connectionString: target.href });
  client.on('error', () => undefined);
  await client.connect();
  open.push(client);
  return client;
}

async function value(client: Client, sql: string): Promise<unknown> {
  const found = await client.query({ text: sql, rowMode: 'array' });
  return found.rows[0]?.[0];
}

beforeAll(async () => {
  postgres = await startPostgres();
  proxy = await startYsqlProxy({ upstreamUrl: postgres.url(), nodes: 3 });
  const client = await session();
  await client.query('CREATE DATABASE shop');
  await client.query("CREATE ROLE plain LOGIN PASSWORD 'p'");
});

afterEach(async () => {
  proxy.faults.clear();
  await Promise.all(open.splice(0).map((client) => client.end().catch(() => undefined)));
});

afterAll(async () => {
  await proxy?.stop();
  await postgres?.stop();
});

test('each node is listed, and knows and ends its own sessions alone (R12)', async () => {
  const here = await session();
  const there = await session(proxy.nodeUrls[1], 'shop');
  const found = await here.query('SELECT host, port FROM yb_servers() ORDER BY 1, 2');
  expect(found.rows).toHaveLength(3);
  expect(found.rows.map(({ port }) => Number(port)).sort()).toEqual(
    proxy.nodeUrls.map((url) => Number(new URL(url).port)).sort(),
  );
  const seen = "SELECT count(*)::int FROM pg_catalog.pg_stat_activity a WHERE a.datname = 'shop'";
  expect(await value(here, seen)).toBe(0);
  expect(await value(there, seen)).toBe(1);
  const pid = await value(there, 'SELECT pg_backend_pid()');
  expect(await value(here, `SELECT pg_terminate_backend(${pid})`)).toBe(false);
  expect(await value(there, 'SELECT 1')).toBe(1);
});

test('a database that other nodes work in is renamed under them, and dropped (R12, issue 7400)', async () => {
  const here = await session();
  await here.query('CREATE DATABASE moving');
  const there = await session(proxy.nodeUrls[1], 'moving');
  await there.query('CREATE TABLE t (a int)');
  await here.query('ALTER DATABASE moving RENAME TO moved');
  await there.query('INSERT INTO t VALUES (1)');
  const again = await session(proxy.url, 'moved');
  expect(await value(again, 'SELECT count(*)::int FROM t')).toBe(1);
  await expect(here.query('ALTER DATABASE moved RENAME TO moving')).rejects.toMatchObject({ code: '55006' });
  await again.end();
  await here.query('DROP DATABASE moved');
  await expect(there.query('SELECT 1')).rejects.toThrow();
});

test('the settings that read the past are a superuser’s, or granted (M5, issue 19608)', async () => {
  const url = new URL(proxy.url);
  url.username = 'plain';
  url.password = 'p';
  const plain = await session(url.href);
  for (const setting of ['yb_read_time', 'yb_disable_catalog_version_check']) {
    await expect(plain.query(`SET ${setting} = 1`)).rejects.toMatchObject({
      code: '42501',
      message: `permission denied to set parameter "${setting}"`,
    });
  }
  const admin = await session();
  await admin.query('GRANT SET ON PARAMETER yb_disable_catalog_version_check TO plain');
  await plain.query('SET yb_disable_catalog_version_check = true');
  await expect(plain.query('SELECT pg_export_snapshot()')).rejects.toMatchObject({ code: '0A000' });
});

test('an injected error comes instead of the statement, and 25P02 after it (R8)', async () => {
  const client = await session();
  proxy.faults.inject({
    statement: /generate_series/,
    code: 'XX000',
    message: 'Timed out: Read RPC',
    times: 1,
  });
  await client.query('BEGIN');
  await expect(client.query('SELECT * FROM generate_series(1, 2)')).rejects.toMatchObject({
    code: 'XX000',
    message: 'Timed out: Read RPC',
    where: undefined,
  });
  await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '25P02' });
  await client.query('ROLLBACK');
  expect(await value(client, 'SELECT count(*)::int FROM generate_series(1, 2)')).toBe(2);
});

test('ANALYZE and temporary tables raise the catalog version and break nothing; ALTER TABLE does (R10, issue 21764)', async () => {
  const client = await session(proxy.url, 'shop');
  await client.query('CREATE TABLE goods AS SELECT 1 AS a');
  const versions = async () => ({
    current: await value(client, 'SELECT yb_catalog_version()'),
    breaking: await value(client, 'SELECT last_breaking_version FROM pg_catalog.pg_yb_catalog_version'),
  });
  const before = await versions();
  await client.query('ANALYZE goods');
  const analyzed = await versions();
  expect(analyzed.current).not.toBe(before.current);
  await client.query('CREATE TEMP TABLE passing (a int)');
  const temporary = await versions();
  expect(temporary.current).not.toBe(analyzed.current);
  expect(temporary.breaking).toBe(before.breaking);
  await client.query('ALTER TABLE goods ADD COLUMN b int');
  expect((await versions()).breaking).not.toBe(before.breaking);
});

test('a node that is down is listed and answers nobody', async () => {
  proxy.takeDown(2);
  await expect(session(proxy.nodeUrls[2])).rejects.toThrow();
  expect(await value(await session(), 'SELECT count(*)::int FROM yb_servers()')).toBe(3);
});
