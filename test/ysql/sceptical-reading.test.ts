import { setImmediate } from 'node:timers/promises';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { restoreJob } from '../../engines/ysql/restore/job.ts';
import { ForwardingStore } from '../../repository/forwarding-store.ts';
import type { GetOptions } from '../../repository/store.ts';
import { runBackup } from '../support/engine-runs.ts';
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

const { restore } = ysqlEngine;

/** A store whose reads stand still until `go` is called. */
class StandingStill extends ForwardingStore {
  readonly #asked = Promise.withResolvers<void>();
  readonly #go = Promise.withResolvers<void>();
  readonly asked = this.#asked.promise;

  go(): void {
    this.#go.resolve();
  }

  override async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    this.#asked.resolve();
    await this.#go.promise;
    options.signal?.throwIfAborted();
    return super.get(key, options);
  }
}

describe('what a sceptical reading of the engine found', () => {
  let server: TestServer;
  let repository: TestRepository;

  beforeAll(async () => {
    server = await startServer();
    repository = await createRepository();
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  /** Creates a database with these statements and returns its URL. */
  const database = async (name: string, ...statements: readonly string[]) => {
    await query(server.url(), `CREATE DATABASE "${name}"`);
    const url = server.url(name);
    await query(url, ...statements);
    return url;
  };
  const valueIn = async (url: string, expression: string) =>
    (await query(url, `SELECT (${expression})::text AS value`))[0]?.value;

  test('rows of one table alone leave the sequences of other tables alone', async () => {
    const url = await database(
      'counting',
      'CREATE TABLE lost (id serial PRIMARY KEY)',
      'CREATE TABLE live (id serial PRIMARY KEY)',
      'CREATE SEQUENCE numbers',
      "CREATE TABLE numbered (id int DEFAULT nextval('numbers'))",
      'CREATE SEQUENCE free',
      'INSERT INTO lost SELECT FROM generate_series(1, 7)',
      'INSERT INTO live SELECT FROM generate_series(1, 3)',
      'INSERT INTO numbered SELECT FROM generate_series(1, 4)',
      "SELECT nextval('free')",
    );
    const backup = await takeBackup(repository, url);
    await query(
      url,
      'INSERT INTO live SELECT FROM generate_series(1, 100)',
      "SELECT nextval('free') FROM generate_series(1, 50)",
      'TRUNCATE lost, numbered RESTART IDENTITY',
      'ALTER SEQUENCE numbers RESTART',
    );
    const outcome = await runRestore(
      restoreContext(backup, server.url(), {
        into: { counting: 'counting' },
        contents: 'data',
        tables: { include: ['public.lost', 'public.numbered'], exclude: [] },
      }),
    );
    expect(outcome.problems).toEqual([]);
    expect(await valueIn(url, "nextval('live_id_seq')")).toBe('104');
    expect(await valueIn(url, "nextval('free')")).toBe('52');
    expect(await valueIn(url, "nextval('lost_id_seq')")).toBe('8');
    expect(await valueIn(url, "nextval('numbers')")).toBe('5');
  });

  test('a backup that leaves out a table with an identity column can be restored', async () => {
    const url = await database(
      'identities',
      'CREATE TABLE kept (id int GENERATED ALWAYS AS IDENTITY, note text)',
      'CREATE TABLE noise (id int GENERATED ALWAYS AS IDENTITY, note text)',
      'CREATE TABLE din (id serial, note text)',
      "INSERT INTO kept (note) VALUES ('a')",
      "INSERT INTO noise (note) VALUES ('b')",
    );
    const source = ysqlSource({ tables: { include: [], exclude: ['public.noise', 'public.din'] } });
    const backup = await takeBackup(repository, url, source);
    const outcome = await runRestore(
      restoreContext(backup, server.url(), { into: { identities: 'identities_again' } }),
    );
    expect(outcome.problems).toEqual([]);
  });

  test('a database with the bookkeeping of an interrupted restore in it is backed up without it', async () => {
    const url = await database('orphaned', 'CREATE TABLE t (id int PRIMARY KEY)', 'INSERT INTO t VALUES (1)');
    const backup = await takeBackup(repository, url);
    await query(url, 'TRUNCATE t');
    const interrupted = restoreContext(backup, server.url(), {
      into: { orphaned: 'orphaned' },
      contents: 'data',
    });
    await restore.plan(interrupted);
    await restore.prepare(interrupted);
    const safety = await takeBackup(repository, url);
    const outcome = await runRestore(
      restoreContext(safety, server.url(), { into: { orphaned: 'orphaned_again' } }),
    );
    expect(outcome.problems).toEqual([]);
  });

  test('rows alone that break a foreign key of the tables that were there are a problem', async () => {
    const url = await database(
      'referring',
      'CREATE TABLE customers (id int PRIMARY KEY)',
      'CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers)',
      'INSERT INTO customers VALUES (1), (2)',
      'INSERT INTO orders VALUES (1, 1), (2, 2), (3, NULL)',
    );
    const backup = await takeBackup(repository, url);
    await query(url, 'TRUNCATE orders', 'DELETE FROM customers WHERE id = 2');
    const outcome = await runRestore(
      restoreContext(backup, server.url(), {
        into: { referring: 'referring' },
        contents: 'data',
        tables: { include: ['public.orders'], exclude: [] },
      }),
    );
    expect(outcome.problems).toEqual([expect.stringContaining('orders_customer_fkey')]);
  });

  test('databases whose names begin alike are restored apart', async () => {
    const prefix = 'customer_production_eu_west_1_tenant_of_the_shop';
    for (const [index, end] of ['acme', 'bravo'].entries())
      await database(`${prefix}_${end}`, 'CREATE TABLE t (id int)', `INSERT INTO t VALUES (${index})`);
    const source = ysqlSource({ databases: { include: [`${prefix}_*`], exclude: [] } });
    const backup = await takeBackup(repository, server.url(), source);
    const outcome = await runRestore(restoreContext(backup, server.url()));
    expect(outcome.problems).toEqual([]);
    const found: unknown[] = [];
    for (const { to } of outcome.databases) found.push(...(await query(server.url(to), 'TABLE t')));
    expect(found).toEqual([{ id: 0 }, { id: 1 }]);
    const scratch = await runRestore(restoreContext(backup, server.url(), { scratch: true }));
    expect(scratch.problems).toEqual([]);
  });

  test('sequences that were renamed while rows were read have their values, and one that was dropped is a loss', async () => {
    const url = await database(
      'renaming',
      'CREATE SEQUENCE one',
      'CREATE SEQUENCE two',
      'CREATE SEQUENCE three',
      "SELECT setval('one', 11), setval('two', 22), setval('three', 33)",
      'CREATE TABLE t (id int)',
      'INSERT INTO t VALUES (1)',
    );
    const context = backupContext(repository, url);
    const backup = await runBackup(ysqlEngine, context, ysqlSource(), {
      afterFirstChunk: () =>
        query(
          url,
          'ALTER SEQUENCE one RENAME TO other',
          'ALTER SEQUENCE two RENAME TO one',
          'ALTER SEQUENCE other RENAME TO two',
          'DROP SEQUENCE three',
        ),
    });
    await runRestore(restoreContext(backup, server.url(), { into: { renaming: 'renaming_again' } }));
    const again = server.url('renaming_again');
    expect(await valueIn(again, "nextval('one')")).toBe('12');
    expect(await valueIn(again, "nextval('two')")).toBe('23');
    expect(backup.manifest.databases[0]?.losses).toEqual([expect.stringContaining('public.three')]);
  });

  const changes = [
    ['an index of a materialized view is dropped', 'DROP INDEX mv_n'],
    ['a statistics object is dropped', 'DROP STATISTICS s'],
    [
      'a procedure is replaced by one of other arguments',
      "DROP PROCEDURE p(int); CREATE PROCEDURE p(a text) LANGUAGE sql AS ''",
    ],
    ['a function is dropped', 'DROP FUNCTION f(int)'],
    ['a type is renamed', 'ALTER TYPE mood RENAME TO feeling'],
    ['a schema is renamed', 'ALTER SCHEMA own RENAME TO other'],
    ['an index is built anew beside itself', 'ALTER INDEX t_n RENAME TO t_m'],
    ['a sequence is dropped', 'DROP SEQUENCE numbers'],
    ['a view is dropped', 'DROP VIEW v'],
    [
      'the default of an argument changes',
      "CREATE OR REPLACE FUNCTION d(a int DEFAULT 2) RETURNS int LANGUAGE sql AS 'SELECT a'",
    ],
    ['a body in standard SQL changes', 'CREATE OR REPLACE FUNCTION std() RETURNS int LANGUAGE sql RETURN 2'],
  ] as const;
  test.each(changes)('the read point is lost where %s before the schema is dumped', async (_, change) => {
    const name = `ddl_${changes.findIndex(([, one]) => one === change)}`;
    const url = await database(
      name,
      'CREATE TABLE t (id int PRIMARY KEY, n int)',
      'CREATE INDEX t_n ON t (n)',
      'CREATE MATERIALIZED VIEW mv AS SELECT * FROM t',
      'CREATE INDEX mv_n ON mv (n)',
      'CREATE VIEW v AS SELECT * FROM t',
      'CREATE SEQUENCE numbers',
      "CREATE PROCEDURE p(a int) LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', a; END $$",
      "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT a'",
      "CREATE FUNCTION d(a int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT a'",
      'CREATE FUNCTION std() RETURNS int LANGUAGE sql RETURN 1',
      'CREATE STATISTICS s ON id, n FROM t',
      "CREATE TYPE mood AS ENUM ('a')",
      'CREATE TABLE m (m mood)',
      'CREATE SCHEMA own',
      'CREATE TABLE own.t (id int)',
    );
    await expect(takeBackup(repository, url, ysqlSource(), () => query(url, change))).rejects.toMatchObject({
      code: 'READ_POINT_LOST',
    });
  });

  test('what is made, filled or replaced in its body beside a backup does not cost it its read point', async () => {
    const url = await database(
      'busy',
      'CREATE TABLE t (id int PRIMARY KEY)',
      "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT a'",
      'CREATE MATERIALIZED VIEW mv AS SELECT * FROM t',
      'CREATE UNIQUE INDEX ON mv (id)',
    );
    const backup = await takeBackup(repository, url, ysqlSource(), () =>
      query(
        url,
        'CREATE TABLE later (id serial PRIMARY KEY)',
        'CREATE TEMPORARY TABLE mine (id int)',
        "CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT a + 1'",
        'REFRESH MATERIALIZED VIEW mv',
        'ANALYZE',
        'GRANT SELECT ON t TO PUBLIC',
      ),
    );
    expect(backup.manifest.databases[0]?.tables).toHaveLength(1);
  });

  test('a table that the plan leaves out may be dropped beside a backup', async () => {
    const url = await database(
      'leaving_out',
      'CREATE TABLE kept (id int PRIMARY KEY)',
      'CREATE TABLE staging (id int PRIMARY KEY, n int)',
      'CREATE INDEX ON staging (n)',
      'CREATE VIEW staged AS SELECT * FROM staging',
    );
    const source = ysqlSource({ tables: { include: [], exclude: ['public.staging'] } });
    const backup = await takeBackup(repository, url, source, () =>
      query(url, 'DROP TABLE staging CASCADE', 'CREATE TABLE staging (id int)'),
    );
    expect(backup.manifest.databases[0]?.tables).toMatchObject([{ table: 'kept' }]);
  });

  test('privileges that one owner for all leaves out are told', async () => {
    const url = await database(
      'granted',
      'CREATE ROLE auditor',
      'CREATE TABLE t (id int)',
      'GRANT SELECT ON t TO auditor',
    );
    const backup = await takeBackup(repository, url);
    await query(url, 'DROP OWNED BY auditor', 'DROP ROLE auditor');
    const outcome = await runRestore(
      restoreContext(backup, server.url(), { into: { granted: 'granted_again' }, owner: 'postgres' }),
    );
    expect(outcome.notes).toEqual([expect.stringMatching(/Privileges .* name auditor are left out/)]);
  });

  test('two databases are not restored as one', async () => {
    for (const name of ['first', 'second']) await database(name, 'CREATE TABLE t (id int)');
    const source = ysqlSource({ databases: { include: ['first', 'second'], exclude: [] } });
    const backup = await takeBackup(repository, server.url(), source);
    await expect(
      restore.plan(restoreContext(backup, server.url(), { into: { first: 'both', second: 'both' } })),
    ).rejects.toMatchObject({ code: 'RESTORE_BAD_NAME' });
  });

  test('another snapshot of the same name is not taken for the read point', async () => {
    const url = await database('restarted', 'CREATE TABLE t (id int)');
    const context = backupContext(repository, url);
    const [first, second] = [
      await ysqlEngine.openReadPoint(context, ysqlSource(), 1),
      await query(url, 'INSERT INTO t VALUES (1)').then(() =>
        ysqlEngine.openReadPoint(context, ysqlSource(), 2),
      ),
    ];
    try {
      const { readPoint } = first;
      if (readPoint.kind !== 'pg-snapshot' || second.readPoint.kind !== 'pg-snapshot')
        throw new Error('no snapshot');
      await expect(ysqlEngine.export(context, ysqlSource(), readPoint)).resolves.toBeDefined();
      // After a restart a server begins to count again, and another read point may get the name of one that is gone.
      const renamed = { ...readPoint, snapshots: second.readPoint.snapshots };
      await expect(ysqlEngine.export(context, ysqlSource(), renamed)).rejects.toMatchObject({
        code: 'READ_POINT_LOST',
      });
    } finally {
      await first.held?.close();
      await second.held?.close();
    }
  });

  test('rows alone do not go into a table that is partitioned now and has rows, and what a failed restore left there is told', async () => {
    const url = await database('parting', 'CREATE TABLE t (id int)', 'INSERT INTO t VALUES (1)');
    const backup = await takeBackup(repository, url);
    const into = await database(
      'parted',
      'CREATE TABLE t (id int) PARTITION BY RANGE (id)',
      'CREATE TABLE t0 PARTITION OF t DEFAULT',
      'INSERT INTO t VALUES (5)',
    );
    const wish = () =>
      restoreContext(backup, server.url(), { into: { parting: 'parted' }, contents: 'data' });
    await expect(restore.plan(wish())).rejects.toMatchObject({
      code: 'RESTORE_TARGET_NOT_EMPTY',
      message: expect.stringContaining('public.t'),
    });
    await query(into, 'TRUNCATE t');
    const begun = wish();
    await restore.plan(begun);
    await restore.prepare(begun);
    await restore.load(begun, 0);
    expect(await restore.discard(begun)).toEqual([
      expect.stringContaining('"parted" was there before and stays'),
    ]);
    expect(await restore.discard(wish())).toEqual([]);
  });

  test('a database whose tablespace the server lacks goes to the default one, and that is told', async () => {
    await query(
      server.url(),
      'SET allow_in_place_tablespaces = on',
      `CREATE TABLESPACE "Fast ones" LOCATION ''`,
      'CREATE DATABASE spaced TABLESPACE "Fast ones"',
    );
    await query(server.url('spaced'), 'CREATE TABLE t (id int)');
    const backup = await takeBackup(repository, server.url('spaced'));
    const again = restoreContext(backup, server.url(), { into: { spaced: 'spaced_there' } });
    expect(await runRestore(again)).not.toHaveProperty('notes');
    await query(
      server.url(),
      'DROP DATABASE spaced',
      'DROP DATABASE spaced_there',
      'DROP TABLESPACE "Fast ones"',
    );
    const outcome = await runRestore(
      restoreContext(backup, server.url(), { into: { spaced: 'spaced_again' } }),
    );
    expect(outcome).toMatchObject({
      problems: [],
      notes: [expect.stringContaining('no tablespace "Fast ones"')],
    });
  });

  test('a database that somebody began to use after the plan is not restored into', async () => {
    const url = await database('source', 'CREATE TABLE t (id int)');
    const backup = await takeBackup(repository, url);
    const context = restoreContext(backup, server.url(), { into: { source: 'wanted' } });
    await restore.plan(context);
    const wanted = await database('wanted', 'CREATE TABLE theirs (id int)');
    await expect(restore.prepare(context)).rejects.toMatchObject({ code: 'RESTORE_TARGET_NOT_EMPTY' });
    expect(await valueIn(wanted, "to_regclass('t')")).toBeNull();
  });

  test('a restore that is cancelled while it reads a script does not cancel another of the same backup', async () => {
    const url = await database('read_by_two', 'CREATE TABLE read_by_two (id int)');
    const backup = await takeBackup(repository, url);
    const context = restoreContext(backup, server.url());
    const store = new StandingStill(context.store);
    const stop = new AbortController();
    const jobs = [restoreJob({ ...context, store, signal: stop.signal }), restoreJob({ ...context, store })];
    const outcomes = Promise.allSettled(jobs);
    await store.asked;
    // The other one is to be waiting for the same script.
    for (let turn = 0; turn < 20; turn++) await setImmediate();
    stop.abort(new Error('cancelled'));
    store.go();
    expect((await outcomes)[1]).toMatchObject({ status: 'fulfilled' });
  });
});
