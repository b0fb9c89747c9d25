import { ysqlEngine } from '../../engines/ysql/engine.ts';
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

describe('a backup of PostgreSQL', () => {
  let server: TestServer;
  let repository: TestRepository;

  beforeAll(async () => {
    server = await startServer();
    repository = await createRepository();
    await query(
      server.url(),
      'CREATE DATABASE shop',
      'CREATE DATABASE shop_archive',
      'CREATE DATABASE refused',
    );
    await query(
      server.url('shop'),
      `CREATE TABLE customers (id int PRIMARY KEY, name text);
       INSERT INTO customers SELECT i, 'customer ' || i FROM generate_series(1, 2000) i;
       CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers) PARTITION BY RANGE (id);
       CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (0) TO (1000);
       CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM (1000) TO (2000);
       INSERT INTO orders SELECT i, 1 + i % 2000 FROM generate_series(0, 1999) i;
       CREATE TABLE tmp_import (x int); INSERT INTO tmp_import VALUES (1);
       CREATE VIEW imported AS SELECT * FROM tmp_import;
       CREATE VIEW imported_twice AS SELECT x * 2 AS x FROM imported;`,
    );
    await query(server.url('shop_archive'), 'CREATE TABLE old (id int); INSERT INTO old VALUES (1), (2)');
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  const tablesOf = (backup: Awaited<ReturnType<typeof takeBackup>>) =>
    backup.manifest.databases.flatMap(({ name, tables }) =>
      tables.map(({ schema, table, rows }) => `${name}.${schema}.${table} ${rows}`),
    );

  test('sees one instant, whatever is written meanwhile', async () => {
    const backup = await takeBackup(repository, server.url('shop'), ysqlSource(), () =>
      query(
        server.url('shop'),
        'DELETE FROM orders WHERE id < 500',
        "INSERT INTO customers VALUES (9999, 'late')",
      ),
    );
    expect(tablesOf(backup).sort()).toEqual([
      'shop.public.customers 2000',
      'shop.public.orders_1 1000',
      'shop.public.orders_2 1000',
      'shop.public.tmp_import 1',
    ]);
    await query(
      server.url('shop'),
      'DELETE FROM customers WHERE id = 9999',
      'INSERT INTO orders SELECT i, 1 FROM generate_series(0, 499) i',
    );
  });

  test('takes several databases by pattern, each under its own snapshot', async () => {
    const source = ysqlSource({ databases: { include: ['shop*'], exclude: [] } });
    const backup = await takeBackup(repository, server.url(), source);
    expect(backup.manifest.databases.map(({ name }) => name)).toEqual(['shop', 'shop_archive']);
    expect(tablesOf(backup)).toContain('shop_archive.public.old 2');
    const outcome = await runRestore(
      restoreContext(backup, server.url(), { into: { shop: 'shop_2', shop_archive: 'archive_2' } }),
    );
    expect(outcome.problems).toEqual([]);
    expect(await query(server.url('archive_2'), 'SELECT count(*)::int AS n FROM old')).toEqual([{ n: 2 }]);
  });

  test('leaves out excluded tables, the views over them and the foreign keys to them, and still restores', async () => {
    const source = ysqlSource({ tables: { include: [], exclude: ['public.tmp_*', '*.customers'] } });
    const backup = await takeBackup(repository, server.url('shop'), source);
    expect(tablesOf(backup).sort()).toEqual(['shop.public.orders_1 1000', 'shop.public.orders_2 1000']);
    const outcome = await runRestore(restoreContext(backup, server.url(), { into: { shop: 'orders_only' } }));
    expect(outcome.problems).toEqual([]);
    expect(
      await query(
        server.url('orders_only'),
        "SELECT array_agg(relname::text ORDER BY relname) AS names FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')",
      ),
    ).toEqual([{ names: ['orders', 'orders_1', 'orders_2'] }]);
  });

  test('includes a partitioned table with its partitions when only its own name is given', async () => {
    const source = ysqlSource({ tables: { include: ['public.orders'], exclude: [] } });
    expect(tablesOf(await takeBackup(repository, server.url('shop'), source)).sort()).toEqual([
      'shop.public.orders_1 1000',
      'shop.public.orders_2 1000',
    ]);
  });

  test('holds the schema only, or the data only, when the plan says so', async () => {
    const schema = await takeBackup(repository, server.url('shop'), ysqlSource({ contents: 'schema' }));
    expect(schema.objects).toEqual([]);
    await runRestore(
      restoreContext(schema, server.url(), { into: { shop: 'shop_schema' }, contents: 'schema' }),
    );
    expect(await query(server.url('shop_schema'), 'SELECT count(*)::int AS n FROM customers')).toEqual([
      { n: 0 },
    ]);

    const data = await takeBackup(repository, server.url('shop'), ysqlSource({ contents: 'data' }));
    expect(
      data.manifest.databases[0]?.schemaObjects.map(({ key }) => key.replace(/.*\/(\w+)-.*/, '$1')),
    ).toEqual(['sequences']);
  });

  test('names all tables that the role may not read in one error', async () => {
    await query(
      server.url('shop'),
      "CREATE ROLE weak LOGIN PASSWORD 'weak-password'",
      'GRANT SELECT ON orders TO weak',
      'CREATE TABLE guarded (id int)',
      'ALTER TABLE guarded ENABLE ROW LEVEL SECURITY',
      'GRANT SELECT ON guarded TO weak',
    );
    const url = new URL(server.url('shop'));
    url.username = 'weak';
    url.password = 'weak-password';
    const opening = ysqlEngine.openReadPoint(backupContext(repository, url.href), ysqlSource(), 1);
    await expect(opening).rejects.toMatchObject({
      code: 'YSQL_CANNOT_READ',
      message: expect.stringMatching(/public\.customers.*public\.orders_1.*row security.*public\.guarded/s),
    });
    await expect(opening).rejects.not.toMatchObject({ message: expect.stringContaining('weak-password') });
    await query(server.url('shop'), 'DROP TABLE guarded');
  });

  test('says so when the password is wrong, without telling it', async () => {
    const url = new URL(server.url('shop'));
    url.password = 'not-the-password';
    const opening = ysqlEngine.openReadPoint(backupContext(repository, url.href), ysqlSource(), 1);
    await expect(opening).rejects.toMatchObject({
      transient: false,
      remedy: expect.stringContaining('password'),
      message: expect.not.stringContaining('not-the-password'),
    });
  });

  test('takes an unreachable server for something that passes', async () => {
    const url = new URL(server.url('shop'));
    url.port = '1';
    const opening = ysqlEngine.openReadPoint(backupContext(repository, url.href), ysqlSource(), 1);
    await expect(opening).rejects.toMatchObject({ code: 'YSQL_UNAVAILABLE', transient: true });
  });

  test('notices at once that the session which holds its snapshot died, and asks for a new read point', async () => {
    const context = backupContext(repository, server.url('shop'));
    const source = ysqlSource();
    const { readPoint, held } = await ysqlEngine.openReadPoint(context, source, 1);
    const { chunks } = await ysqlEngine.export(context, source, readPoint);
    await query(
      server.url(),
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop' AND application_name = 'holdfast'",
    );
    await expect(held?.lost).rejects.toMatchObject({ transient: true });
    await held?.close();
    const [chunk] = chunks;
    if (chunk === undefined) throw new Error('no chunk');
    await expect(
      ysqlEngine.upload(context, source, readPoint, [chunk], { zstdLevel: 1 }),
    ).rejects.toMatchObject({
      code: 'READ_POINT_LOST',
      transient: false,
    });
  });

  test('keeps DDL away from its tables for as long as the read point is held', async () => {
    const { held } = await ysqlEngine.openReadPoint(
      backupContext(repository, server.url('shop')),
      ysqlSource(),
      1,
    );
    const truncating = query(server.url('shop'), "SET lock_timeout = '300ms'", 'TRUNCATE tmp_import');
    await expect(truncating).rejects.toMatchObject({ code: '55P03' });
    await held?.close();
    await query(server.url('shop'), "SET lock_timeout = '10s'", 'BEGIN', 'LOCK TABLE tmp_import', 'COMMIT');
  });

  test('waits for DDL under way, and names its session when that takes too long', async () => {
    const context = backupContext(repository, server.url('shop'));
    const locking = query(
      server.url('shop'),
      'BEGIN',
      'LOCK TABLE tmp_import',
      'SELECT pg_sleep(3)',
      'COMMIT',
    );
    await new Promise((resolve) => setTimeout(resolve, 500));
    await expect(ysqlEngine.flush(context, ysqlSource(), { waitMs: 300 })).rejects.toMatchObject({
      code: 'YSQL_DDL_UNDER_WAY',
      transient: true,
    });
    const { waitedMs } = await ysqlEngine.flush(context, ysqlSource(), { waitMs: 60_000 });
    expect(waitedMs).toBeGreaterThan(100);
    await locking;
  });

  test('sends no object again that an earlier attempt stored', async () => {
    const source = ysqlSource();
    const context = backupContext(repository, server.url('shop'));
    const { readPoint, held } = await ysqlEngine.openReadPoint(context, source, 1);
    const { chunks } = await ysqlEngine.export(context, source, readPoint);
    const [chunk] = chunks;
    if (chunk === undefined) throw new Error('no chunk');
    const first = await ysqlEngine.upload(context, source, readPoint, [chunk], { zstdLevel: 1 });
    const store = {
      ...context.store,
      put: () => Promise.reject(new Error('sent again')),
      list: context.store.list.bind(context.store),
    };
    const again = { ...context, attempt: 2, store: store as typeof context.store };
    expect(await ysqlEngine.upload(again, source, readPoint, [chunk], { zstdLevel: 1 })).toEqual(first);
    await held?.close();
  });

  test('stops promptly when it is cancelled', async () => {
    const controller = new AbortController();
    const context = backupContext(repository, server.url('shop'), { signal: controller.signal });
    const sleeping = ysqlEngine.sql(context, ysqlSource(), 'SELECT pg_sleep(60)', undefined);
    setTimeout(() => controller.abort(new Error('cancelled by the operator')), 300);
    await expect(sleeping).rejects.toThrow('cancelled by the operator');
  });

  test('reads the rows of an extension that are configuration, and no others', async () => {
    await query(server.url(), 'CREATE DATABASE extended');
    await query(
      server.url('extended'),
      `CREATE EXTENSION hstore; CREATE TABLE settings (name text, built_in bool);
       INSERT INTO settings VALUES ('theirs', true), ('ours', false);
       CREATE TABLE internals (x int); INSERT INTO internals VALUES (1);
       ALTER EXTENSION hstore ADD TABLE settings; ALTER EXTENSION hstore ADD TABLE internals;
       UPDATE pg_extension SET extconfig = ARRAY['settings'::regclass::oid], extcondition = ARRAY['WHERE NOT built_in'] WHERE extname = 'hstore'`,
    );
    expect(tablesOf(await takeBackup(repository, server.url('extended')))).toEqual([
      'extended.public.settings 1',
    ]);
  });
});
