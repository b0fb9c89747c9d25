import { zstdDecompressSync } from 'node:zlib';
import type { RestoreContext } from '../../engines/engine.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { differenceInContent } from '../../repository/backups/content.ts';
import { BINARY_HEADER } from '../../repository/backups/copy-binary.ts';
import { readData } from '../../repository/backups/data-pieces.ts';
import { query } from '../support/sql.ts';
import { compareDatabases } from './compare.ts';
import {
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

/** Every type that goes in the binary format, with its awkward values; and tables that must not. */
const SCHEMA = [
  `CREATE TABLE exact (id int8 PRIMARY KEY, b bool, i2 int2, i4 int4, f4 float4, f8 float8, n numeric, n2 numeric(12, 3), o oid,
     t text, v varchar(9), c char(5), q "char", na name, by bytea, j json, jb jsonb, u uuid, d date, ti time, tz timetz, ts timestamp,
     tsz timestamptz(3), iv interval, bi bit(3), vb varbit, ip inet, ci cidr, m macaddr, m8 macaddr8, l pg_lsn, p point, bo box, pa path, po polygon,
     li line, ls lseg, cl circle, g int8 GENERATED ALWAYS AS (id * 2) STORED)`,
  'INSERT INTO exact (id) VALUES (1)',
  `INSERT INTO exact SELECT n, n % 2 = 0, n, n, 'NaN', '-0', 'NaN', 12.340, 4294967295, E'tab\\t, line\\n, \\\\N, \\\\. and ☃', '', 'ab', 'x', 'name',
     '\\x00ff0a0d5c', '{"a" :  [1, 2]}', '{"a": [1, 2.50]}', '6b1f1c3e-9e0c-4c86-9d7d-3f8f6f1d2c3b', 'infinity', '24:00:00', '23:59:59.999999+14', '-infinity',
     '4713-01-01 00:00:00 BC', '-1 year 3 days -04:05:06.789', B'101', B'', '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '16/B374D848',
     '(1e300,-0)', '((0,0),(1,1))', '[(0,0),(1,1)]', '((0,0),(1,1),(2,0))', '{1,-1,0}', '[(0,0),(1,1)]', '<(1,2),3>' FROM generate_series(2, 4000) n`,
  "INSERT INTO exact (id, n, f8, t, by) VALUES (0, repeat('9', 400)::numeric / 7, 1e-307, repeat('é', 700000), decode(repeat('0a', 2000000), 'hex'))",
  'CREATE TABLE nothing (id int)',
  "CREATE TABLE lists (id int PRIMARY KEY, tags text[]); INSERT INTO lists VALUES (1, '{a,NULL}')",
  "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE moods (m mood); INSERT INTO moods VALUES ('ok')",
  'CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE TABLE positives (p positive); INSERT INTO positives VALUES (1)',
  "CREATE TABLE prices (p money); INSERT INTO prices VALUES ('1.23')",
  'CREATE TABLE no_columns (); INSERT INTO no_columns DEFAULT VALUES',
  'CREATE TABLE parts (id int, v text) PARTITION BY HASH (id)',
  'CREATE TABLE part_0 (v text, id int)',
  'ALTER TABLE parts ATTACH PARTITION part_0 FOR VALUES WITH (MODULUS 2, REMAINDER 0)',
  'CREATE TABLE part_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1)',
  "INSERT INTO parts SELECT n, 'v' || n FROM generate_series(1, 1000) n",
  "SELECT lo_from_bytea(4711, decode(repeat('0aff00', 20000), 'hex'))",
];

let server: TestServer;
let repository: TestRepository;

beforeAll(async () => {
  server = await startServer();
  repository = await createRepository();
  await query(server.url(), 'CREATE DATABASE typed');
  for (const statement of SCHEMA) await query(server.url('typed'), statement);
});
afterAll(async () => {
  await server?.stop();
  await repository?.remove();
});

/** Of each table's objects. */
function formats({ objects }: TestBackup): Readonly<Record<string, readonly (string | undefined)[]>> {
  const found: Record<string, readonly (string | undefined)[]> = {};
  for (const { table, format } of objects)
    found[table.table] = [...new Set([...(found[table.table] ?? []), format])];
  return found;
}

const BINARY = ['copy-binary'];
const TEXT = [undefined];
const FORMATS = {
  ...{ exact: BINARY, part_0: BINARY, part_1: BINARY, pg_largeobject: BINARY },
  ...{ lists: TEXT, moods: TEXT, positives: TEXT, prices: TEXT, no_columns: TEXT },
};

test('tables whose types have one binary form go in it, all others as text; every row comes back', async () => {
  const backup = await takeBackup(repository, server.url('typed'), ysqlSource({ chunkBytes: 1024 * 1024 }));
  expect(formats(backup)).toEqual(FORMATS);
  expect(backup.objects.filter(({ table }) => table.table === 'exact').length).toBeGreaterThan(2);
  for (const object of backup.objects) {
    const stored = await readData(repository.store, backup.context.folder, object);
    expect(await differenceInContent(stored, object)).toBeUndefined();
    const starts = zstdDecompressSync(stored).subarray(0, BINARY_HEADER.length).equals(BINARY_HEADER);
    expect(starts).toBe(object.format === 'copy-binary');
    expect(await differenceInContent(stored, { ...object, rows: object.rows + 1 })).toContain('rows');
  }
  const outcome = await runRestore(
    restoreContext(backup, server.url(), { into: { typed: 'typed_back' }, check: 'content' }),
  );
  expect(outcome.problems).toEqual([]);
  expect(
    await compareDatabases(server, server.url('typed'), server.url('typed_back'), {
      ignoreDatabaseProperties: true,
    }),
  ).toEqual([]);
});

test('a row that was changed after the restore’s load is a difference', async () => {
  const backup = await takeBackup(repository, server.url('typed'), ysqlSource());
  const context = restoreContext(backup, server.url(), {
    into: { typed: 'typed_changed' },
    check: 'content',
  });
  const { restore } = ysqlEngine;
  const finish = async (attempt: RestoreContext) => {
    const [working] = await query(
      server.url(),
      "SELECT datname FROM pg_database WHERE datname LIKE 'typed_changed%'",
    );
    await query(server.url(String(working?.datname)), "UPDATE exact SET t = t || ' ' WHERE id = 77");
    return await restore.finish(attempt);
  };
  const outcome = await runRestore(context, { ...ysqlEngine, restore: { ...restore, finish } });
  expect(outcome.problems).toEqual([
    expect.stringContaining('public.exact differs from the backup in its content'),
  ]);
});

test('by `format: text` everything is text, and comes back alike', async () => {
  const backup = await takeBackup(repository, server.url('typed'), ysqlSource({ format: 'text' }));
  expect(new Set(Object.values(formats(backup)).flat())).toEqual(new Set(TEXT));
  const outcome = await runRestore(
    restoreContext(backup, server.url(), { into: { typed: 'typed_text' }, check: 'content' }),
  );
  expect(outcome.problems).toEqual([]);
  expect(
    await compareDatabases(server, server.url('typed'), server.url('typed_text'), {
      ignoreDatabaseProperties: true,
    }),
  ).toEqual([]);
});

test('rows of the binary format go into existing tables whose columns have other types, as text would', async () => {
  await query(server.url(), 'CREATE DATABASE narrow', 'CREATE DATABASE wide');
  await query(
    server.url('narrow'),
    'CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, n int2, c char(5), at timestamp, note varchar(20))',
    "INSERT INTO t (n, c, at, note) SELECT n, 'ab', '2026-11-30 01:02:03.004', 'note ' || n FROM generate_series(1, 500) n",
    'CREATE TABLE same (id int, c char(5)); INSERT INTO same SELECT n, n::text FROM generate_series(1, 50) n',
  );
  await query(
    server.url('wide'),
    'CREATE TABLE t (note text, id bigint GENERATED ALWAYS AS IDENTITY, n numeric, at timestamp, c char(5), new int DEFAULT 7)',
    'CREATE TABLE same (id int, c char(5))',
  );
  const backup = await takeBackup(repository, server.url('narrow'), ysqlSource());
  expect(formats(backup)).toEqual({ t: BINARY, same: BINARY });
  const outcome = await runRestore(
    restoreContext(backup, server.url(), { into: { narrow: 'wide' }, contents: 'data', check: 'content' }),
  );
  expect(outcome.problems).toEqual([]);
  const rows = 'SELECT id::int, n::int, c, at, note FROM t ORDER BY id';
  expect(await query(server.url('wide'), rows)).toEqual(await query(server.url('narrow'), rows));
  expect(await query(server.url('wide'), 'SELECT DISTINCT new FROM t')).toEqual([{ new: 7 }]);
});

test('a database that is not in UTF-8 goes as text', async () => {
  await query(
    server.url(),
    "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
  );
  await query(server.url('latin'), "CREATE TABLE t (v text); INSERT INTO t VALUES ('é')");
  const backup = await takeBackup(repository, server.url('latin'), ysqlSource());
  expect(formats(backup)).toEqual({ t: TEXT });
});

test('a backup of rows alone is text: it goes into tables that may have changed', async () => {
  const backup = await takeBackup(repository, server.url('typed'), ysqlSource({ contents: 'data' }));
  expect(new Set(Object.values(formats(backup)).flat())).toEqual(new Set(TEXT));
});
