import { randomBytes } from 'node:crypto';
import type { RestoreContext } from '../../engines/engine.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import type { Store } from '../../repository/store.ts';
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
  ysqlSource,
} from './harness.ts';

const { restore } = ysqlEngine;

describe('a restore', () => {
  let server: TestServer;
  let repository: TestRepository;
  let backup: TestBackup;

  beforeAll(async () => {
    server = await startServer();
    repository = await createRepository();
    await query(server.url(), 'CREATE ROLE seller', 'CREATE ROLE buyer', 'CREATE DATABASE shop OWNER seller');
    await query(
      server.url('shop'),
      `CREATE TYPE state AS ENUM ('new', 'paid');
       CREATE TABLE customers (id serial PRIMARY KEY, name text);
       CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int NOT NULL REFERENCES customers, state state DEFAULT 'new');
       CREATE INDEX ON orders (customer);
       INSERT INTO customers (name) SELECT 'customer ' || i FROM generate_series(1, 3000) i;
       INSERT INTO orders (customer) SELECT i FROM generate_series(1, 3000) i;
       CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
       CREATE TRIGGER refuse BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION refuse();
       CREATE TRIGGER refuse_always BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION refuse();
       ALTER TABLE orders ENABLE ALWAYS TRIGGER refuse_always;
       CREATE VIEW spending AS SELECT customer, count(*) FROM orders GROUP BY customer;
       GRANT SELECT ON orders TO buyer; ALTER TABLE orders OWNER TO seller;`,
    );
    backup = await takeBackup(repository, server.url('shop'), ysqlSource({ globals: 'roles' }));
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  const rowsOf = async (database: string, table: string) =>
    (await query(server.url(database), `SELECT count(*)::int AS rows FROM ${table}`))[0]?.rows;
  const databases = async () =>
    (await query(server.url(), 'SELECT datname FROM pg_database ORDER BY 1')).map(({ datname }) => datname);
  const context = (changes: Parameters<typeof restoreContext>[2] = {}) =>
    restoreContext(backup, server.url(), changes);

  test('refuses a target that holds something, and leaves it alone', async () => {
    await expect(restore.plan(context({ into: { shop: 'shop' } }))).rejects.toMatchObject({
      code: 'RESTORE_TARGET_NOT_EMPTY',
      remedy: expect.stringContaining('--replace'),
    });
    await query(server.url(), 'CREATE DATABASE occupied');
    const wanted = () => restore.plan(context({ into: { shop: 'occupied' } }));
    for (const [statement, names] of [
      ["CREATE TYPE mood AS ENUM ('sad', 'happy')", 'public.mood'],
      ['CREATE DOMAIN moods AS mood[]', 'public.mood, public.moods'],
      ['CREATE TABLE people (mood mood)', 'public.mood, public.moods, public.people'],
    ] as const) {
      await query(server.url('occupied'), statement);
      await expect(wanted()).rejects.toMatchObject({ message: expect.stringContaining(`(${names})`) });
    }
  });

  test('leaves statistics of everything, and every row of a large table visible without a look at the table', async () => {
    await query(server.url(), 'CREATE DATABASE measured');
    await query(
      server.url('measured'),
      `CREATE TABLE large (id int PRIMARY KEY, note text, kind int);
       INSERT INTO large SELECT i, repeat('x', 80) || i, i % 7 FROM generate_series(1, 20000) i;
       CREATE INDEX by_length ON large (length(note));
       CREATE STATISTICS together ON id, kind FROM large;
       CREATE TABLE small (id int PRIMARY KEY);
       INSERT INTO small SELECT generate_series(1, 100);
       CREATE TABLE whole (id int, kind int) PARTITION BY RANGE (id);
       CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (1000000);
       INSERT INTO whole SELECT i, i % 7 FROM generate_series(1, 5000) i`,
    );
    const measured = await takeBackup(repository, server.url('measured'), ysqlSource({}));
    await runRestore(restoreContext(measured, server.url(), { into: { measured: 'again' } }));
    const url = server.url('again');
    expect(
      await query(url, "SELECT relallvisible = relpages AS visible FROM pg_class WHERE relname = 'large'"),
    ).toEqual([{ visible: true }]);
    expect(
      await query(
        url,
        'SELECT DISTINCT tablename::text AS name FROM pg_stats WHERE schemaname = $$public$$ ORDER BY 1',
      ),
    ).toEqual(['by_length', 'large', 'part', 'small', 'whole'].map((name) => ({ name })));
    expect(await query(url, 'SELECT count(*)::int AS statistics FROM pg_statistic_ext_data')).toEqual([
      { statistics: 1 },
    ]);
  });

  test('goes into an existing empty database, and keeps its properties', async () => {
    await query(server.url(), 'CREATE DATABASE waiting', "COMMENT ON DATABASE waiting IS 'mine'");
    const outcome = await runRestore(context({ into: { shop: 'waiting' } }));
    expect(outcome.problems).toEqual([]);
    expect(await rowsOf('waiting', 'orders')).toBe(3000);
    expect(
      await query(
        server.url(),
        "SELECT shobj_description(oid, 'pg_database') AS comment FROM pg_database WHERE datname = 'waiting'",
      ),
    ).toEqual([{ comment: 'mine' }]);
  });

  test('replaces a database that is in use, and keeps the old one under another name', async () => {
    await query(server.url(), 'CREATE DATABASE live');
    await query(server.url('live'), 'CREATE TABLE precious AS SELECT 1 AS x');
    const using = query(server.url('live'), 'SELECT pg_sleep(60)').then(
      () => 'ended by itself',
      () => 'was ended',
    );
    const outcome = await runRestore(context({ restore: 'swap1', into: { shop: 'live' }, replace: true }));
    expect(outcome.databases).toEqual([{ from: 'shop', to: 'live', kept: 'live_before_swap1' }]);
    expect(await using).toBe('was ended');
    expect(await rowsOf('live', 'orders')).toBe(3000);
    expect(await rowsOf('live_before_swap1', 'precious')).toBe(1);
    expect(await databases()).not.toContain('live_restoring_swap1');
  });

  test('brings back selected tables with what belongs to them, and leaves out what needs the others', async () => {
    const outcome = await runRestore(
      context({ into: { shop: 'only_orders' }, tables: { include: ['public.orders'], exclude: [] } }),
    );
    expect(outcome).toMatchObject({ problems: [], tables: 1, rows: 3000 });
    const found = await query(
      server.url('only_orders'),
      "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname",
    );
    expect(found.map(({ relname }) => relname)).toEqual([
      'orders',
      'orders_customer_idx',
      'orders_id_seq',
      'orders_pkey',
      'spending',
    ]);
    expect(await query(server.url('only_orders'), "SELECT nextval('orders_id_seq')::int AS next")).toEqual([
      { next: 3001 },
    ]);
  });

  test('no such table in the backup: a name that is asked for or left out is refused, not passed over', async () => {
    for (const tables of [
      { include: ['public.orders', 'public.typo'], exclude: [] },
      { include: [], exclude: ['public.typo'] },
    ]) {
      await expect(
        ysqlEngine.restore.plan(context({ into: { shop: 'typo' }, tables })),
      ).rejects.toMatchObject({
        code: 'RESTORE_NO_SUCH_TABLE',
        message: expect.stringContaining('public.typo'),
      });
    }
  });

  test('gives everything to another role when asked', async () => {
    await query(server.url(), 'CREATE ROLE heir');
    await runRestore(context({ into: { shop: 'inherited' }, owner: 'heir' }));
    expect(
      await query(
        server.url('inherited'),
        "SELECT DISTINCT pg_get_userbyid(relowner)::text AS owner FROM pg_class WHERE relnamespace = 'public'::regnamespace",
      ),
    ).toEqual([{ owner: 'heir' }]);
    expect(
      await query(
        server.url(),
        "SELECT pg_get_userbyid(datdba)::text AS owner FROM pg_database WHERE datname = 'inherited'",
      ),
    ).toEqual([{ owner: 'heir' }]);
  });

  test('loads data alone into existing tables, whose triggers neither disturb nor change', async () => {
    const schema = context({ into: { shop: 'prepared' }, contents: 'schema' });
    const prepared = await runRestore(schema);
    expect(prepared.problems).toEqual([]);
    expect(prepared.compared).toMatch(
      /^schema of \d+ tables, \d+ index(es)?, \d+ constraints?, \d+ other objects?$/,
    );
    const outcome = await runRestore(context({ into: { shop: 'prepared' }, contents: 'data' }));
    expect(outcome.problems).toEqual([]);
    expect(await rowsOf('prepared', 'orders')).toBe(3000);
    expect(
      await query(
        server.url('prepared'),
        "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'orders'::regclass AND NOT tgisinternal ORDER BY 1",
      ),
    ).toEqual([
      { tgname: 'refuse', tgenabled: 'O' },
      { tgname: 'refuse_always', tgenabled: 'A' },
    ]);
    await expect(
      restore.plan(context({ into: { shop: 'prepared' }, contents: 'data' })),
    ).rejects.toMatchObject({
      code: 'RESTORE_TARGET_NOT_EMPTY',
      message: expect.stringContaining('public.orders'),
    });
  });

  test('tells which objects a restore of the schema alone lacks, and compares nothing where there is none', async () => {
    const schema = context({ into: { shop: 'lacking' }, contents: 'schema' });
    const plan = await restore.plan(schema);
    await restore.prepare(schema);
    for (const [wave, units] of plan.postDataWaves.entries()) {
      for (let unit = 0; unit < units; unit += 1) await restore.postData(schema, { wave, unit, units });
    }
    const { restore: id } = schema.request;
    const [working] = await query(
      server.url(),
      `SELECT datname FROM pg_database WHERE datname LIKE '%${id}%'`,
    );
    await query(
      server.url(String(working?.datname)),
      'DROP TRIGGER refuse ON orders',
      'DROP TABLE orders CASCADE',
    );
    const outcome = await restore.finish(schema);
    expect(outcome.problems).toContain('TABLE public.orders is in the backup and not there');
    expect(outcome.problems).toContain('TRIGGER public.orders refuse is in the backup and not there');
    await query(server.url(), 'CREATE DATABASE bare');
    const bare = await takeBackup(repository, server.url('bare'));
    expect(
      await runRestore(
        restoreContext(bare, server.url(), { into: { bare: 'bare_again' }, contents: 'schema' }),
      ),
    ).toMatchObject({ comparedNothing: true, compared: 'nothing' });
  });

  test('names all missing roles in one error, and creates them from the globals when asked', async () => {
    const other = await startServer();
    try {
      const there = (changes: Parameters<typeof restoreContext>[2]) =>
        restoreContext(backup, other.url(), changes);
      await expect(restore.plan(there({}))).rejects.toMatchObject({
        code: 'RESTORE_ROLES_MISSING',
        message: expect.stringMatching(/buyer, seller/),
      });
      const outcome = await runRestore(there({ into: { shop: 'shop' }, globals: true }));
      expect(outcome.problems).toEqual([]);
      expect(
        await query(other.url('shop'), "SELECT tableowner FROM pg_tables WHERE tablename = 'orders'"),
      ).toEqual([{ tableowner: 'seller' }]);
    } finally {
      await other.stop();
    }
  });

  test('as many tables as there are make no more activities than a history can bear', async () => {
    await query(server.url('postgres'), 'CREATE DATABASE wide');
    await query(
      server.url('wide'),
      `DO $$ BEGIN FOR i IN 1..250 LOOP
         EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY, whole int REFERENCES t1)', 't' || i);
         EXECUTE format('INSERT INTO %I VALUES (%s)', 't' || i, i);
       END LOOP; END $$`,
    );
    const wide = await takeBackup(repository, server.url('wide'), ysqlSource({}));
    const { plan } = await runRestore(restoreContext(wide, server.url(), { into: { wide: 'wide_again' } }));
    expect(plan.postDataWaves).toEqual([200, 200]);
    expect(plan.tableUnits).toHaveLength(200);
    expect(
      await query(
        server.url('wide_again'),
        "SELECT contype::text AS kind, count(*)::int FROM pg_constraint WHERE conrelid::regclass::text LIKE 't%' GROUP BY 1 ORDER BY 1",
      ),
    ).toEqual([
      { kind: 'f', count: 250 },
      { kind: 'p', count: 250 },
    ]);
  });

  test('never loads an object twice, although two attempts run at once and each may be cut off', async () => {
    const begun = context({ into: { shop: 'contended' } });
    const plan = await restore.plan(begun);
    await restore.prepare(begun);
    for (let task = 0; task < plan.tasks; task += 1) {
      await Promise.all([restore.load(begun, task), restore.load(begun, task)]);
      await cutOff(begun, (attempt) => restore.load(attempt, task));
    }
    for (const [wave, units] of plan.postDataWaves.entries()) {
      for (let unit = 0; unit < units; unit += 1) {
        await cutOff(begun, (attempt) => restore.postData(attempt, { wave, unit, units }));
        const apply = () => restore.postData(begun, { wave, unit, units });
        await Promise.all([apply(), apply()]);
      }
    }
    expect((await restore.finish(begun)).problems).toEqual([]);
    expect(await rowsOf('contended', 'customers')).toBe(3000);
  });

  /** Aborts an attempt at a moment of its own. */
  async function cutOff(
    begun: RestoreContext,
    work: (attempt: RestoreContext) => Promise<unknown>,
  ): Promise<void> {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(new Error('cut off')), randomBytes(1)[0] ?? 0);
    await work({ ...begun, signal: controller.signal }).catch((error: unknown) => {
      if (!controller.signal.aborted) throw error;
    });
    clearTimeout(timer);
  }

  test('loads nothing of an object whose bytes differ from the manifest', async () => {
    const begun = context({ into: { shop: 'damaged' } });
    const { tasks } = await restore.plan(begun);
    await restore.prepare(begun);
    const store: Store = Object.create(begun.store, {
      get: {
        value: async (key: string, options: Parameters<Store['get']>[1]) => {
          if (!key.includes('/data/')) return await begun.store.get(key, options);
          return await begun.store.get(key.replace(/[^/]+$/, 'swapped'), options);
        },
      },
    });
    await begun.store.put(`${begun.folder}data/e1/swapped`, Buffer.from('x'), {
      sha256: '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881',
      ifAbsent: true,
    });
    await expect(restore.load({ ...begun, store }, 0)).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
    expect(tasks).toBeGreaterThan(0);
    await restore.discard(begun);
    expect((await databases()).filter((name) => String(name).startsWith('damaged'))).toEqual([]);
  });

  test('tells which table differs from the manifest, and keeps it from its final name', async () => {
    const begun = context({ restore: 'wrong', into: { shop: 'wrong' } });
    const plan = await restore.plan(begun);
    await restore.prepare(begun);
    for (let task = 0; task < plan.tasks; task += 1) await restore.load(begun, task);
    for (const [wave, units] of plan.postDataWaves.entries()) {
      for (let unit = 0; unit < units; unit += 1) await restore.postData(begun, { wave, unit, units });
    }
    await query(server.url('wrong_restoring_wrong'), "UPDATE customers SET name = 'tampered' WHERE id = 7");
    const outcome = await restore.finish(begun);
    expect(outcome.problems).toEqual(['public.customers differs from the backup in its content']);
    expect(await databases()).not.toContain('wrong');
    await restore.discard(begun);
    expect(await databases()).not.toContain('wrong_restoring_wrong');
  });

  test('counts larger tables beside the foreign keys, except those that a crash of the server would empty', async () => {
    await query(server.url(), 'CREATE DATABASE large');
    await query(
      server.url('large'),
      `CREATE TABLE "logged.table" AS SELECT i, repeat(md5(i::text), 10) AS filling FROM generate_series(1, 5000) i;
       CREATE UNLOGGED TABLE unlogged AS SELECT * FROM "logged.table"`,
    );
    const large = await takeBackup(repository, server.url('large'), ysqlSource({}));
    const begun = restoreContext(large, server.url(), { restore: 'counts', into: { large: 'large_again' } });
    const plan = await restore.plan(begun);
    await restore.prepare(begun);
    for (let task = 0; task < plan.tasks; task += 1) await restore.load(begun, task);
    const working = server.url('large_again_restoring_counts');
    await query(working, 'DELETE FROM "logged.table" WHERE i <= 2', 'DELETE FROM unlogged WHERE i <= 2');
    for (const [wave, units] of plan.postDataWaves.entries()) {
      for (let unit = 0; unit < units; unit += 1) await restore.postData(begun, { wave, unit, units });
    }
    await query(working, 'DELETE FROM unlogged WHERE i <= 4');
    expect(await query(working, 'SELECT relation, rows FROM holdfast_restore.counted')).toEqual([
      { relation: '"public"."logged.table"', rows: '4998' },
    ]);
    expect((await restore.finish(begun)).problems.toSorted()).toEqual([
      'public.logged.table has 4998 rows, the manifest says 5000',
      'public.unlogged has 4996 rows, the manifest says 5000',
    ]);
    await restore.discard(begun);
  });

  test('leaves nothing of a rehearsal behind, and nothing that it did not create is dropped', async () => {
    const before = await databases();
    const rehearsal = context({ scratch: true });
    expect((await runRestore(rehearsal)).problems).toEqual([]);
    await restore.discard(rehearsal);
    await restore.discard(rehearsal);
    expect(await databases()).toEqual(before);
  });
});
