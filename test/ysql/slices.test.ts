import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { readRelations, select, takesLock } from '../../engines/ysql/server/catalog.ts';
import { parseConnectionUrl } from '../../engines/ysql/server/connection-url.ts';
import { dumpEntries } from '../../engines/ysql/server/dump-script.ts';
import { readScript } from '../../engines/ysql/server/scripts.ts';
import { inTransaction, withSession } from '../../engines/ysql/server/session.ts';
import { requireEachOnce } from '../../engines/ysql/slices/account.ts';
import { divide } from '../../engines/ysql/slices/dump-slices.ts';
import { mergeSlices } from '../../engines/ysql/slices/merge.ts';
import { tablePatterns } from '../../engines/ysql/slices/table-patterns.ts';
import { openReadPoint } from '../../engines/ysql/snapshot.ts';
import { READ_POINT_LOST } from '../../model/errors.ts';
import { runBackup } from '../support/engine-runs.ts';
import { query } from '../support/sql.ts';
import { compareDatabases } from './compare.ts';
import {
  backupContext,
  createRepository,
  createZoo,
  restoreContext,
  runRestore,
  startServer,
  type TestRepository,
  type TestServer,
  takeBackup,
  ysqlSource,
} from './harness.ts';

/** Tables that need nothing but their schema, with everything that can belong to one; and what needs them. */
const PLAIN = `
  CREATE SCHEMA many AUTHORIZATION zoo_owner;
  DO $$ BEGIN FOR i IN 1..60 LOOP
    EXECUTE format('CREATE TABLE many.t%s (id serial PRIMARY KEY, v text UNIQUE, w int DEFAULT 7 CHECK (w > 0))', i);
    EXECUTE format('INSERT INTO many.t%s (v) SELECT i::text FROM generate_series(1, %s) i', i, i);
  END LOOP; END $$;
  CREATE TABLE many."odd ""name"".|*(a)$ [x] \\ y" ("Id" bigint GENERATED ALWAYS AS IDENTITY (START 5), "new
line" text);
  CREATE TABLE many."new
line" (id int PRIMARY KEY);
  CREATE TABLE many.computed (a int, b int GENERATED ALWAYS AS (a * 2) STORED, c text COLLATE "C", d timestamptz DEFAULT now(),
    EXCLUDE USING btree (a WITH =)) WITH (fillfactor = 60);
  CREATE UNLOGGED TABLE many.unlogged (a int);
  INSERT INTO many.computed (a) SELECT i FROM generate_series(1, 20) i;
  CREATE INDEX by_text ON many.computed (lower(c), a DESC) INCLUDE (b) WHERE a > 3;
  CREATE UNIQUE INDEX by_a ON many.computed (a);
  ALTER TABLE many.computed ADD CONSTRAINT late CHECK (a > 10) NOT VALID;
  ALTER TABLE many.t1 CLUSTER ON t1_pkey; ALTER TABLE many.t2 REPLICA IDENTITY FULL; ALTER TABLE many.t3 REPLICA IDENTITY USING INDEX t3_pkey;
  ALTER TABLE many.t4 ALTER COLUMN v SET STORAGE EXTERNAL; ALTER TABLE many.t4 ALTER COLUMN v SET STATISTICS 300;
  ALTER TABLE many.t5 OWNER TO "Zoo Keeper"; GRANT SELECT (v) ON many.t5 TO zoo_reader; GRANT ALL ON many.t6 TO zoo_reader WITH GRANT OPTION;
  REVOKE ALL ON many.t7 FROM postgres; GRANT USAGE ON SEQUENCE many.t8_id_seq TO zoo_reader;
  ALTER SEQUENCE many.t8_id_seq INCREMENT 3 CYCLE MAXVALUE 900;
  COMMENT ON TABLE many.t1 IS 'first'; COMMENT ON COLUMN many.t1.v IS 'v'; COMMENT ON SEQUENCE many.t1_id_seq IS 's';
  COMMENT ON INDEX many.by_a IS 'i'; COMMENT ON CONSTRAINT t1_pkey ON many.t1 IS 'k'; COMMENT ON CONSTRAINT late ON many.computed IS 'c';
  ALTER TABLE many.t2 ADD FOREIGN KEY (id) REFERENCES many.t1 (id) ON DELETE CASCADE NOT VALID;
  ALTER TABLE many.t3 ADD CONSTRAINT to_zoo FOREIGN KEY (w) REFERENCES public.every_type (id) NOT VALID; COMMENT ON CONSTRAINT to_zoo ON many.t3 IS 'f';
  ALTER TABLE public.egg ADD CONSTRAINT to_many FOREIGN KEY (id) REFERENCES many.t59 (id) NOT VALID;
  CREATE TRIGGER forbid BEFORE INSERT ON many.t9 FOR EACH ROW EXECUTE FUNCTION public.forbid(); COMMENT ON TRIGGER forbid ON many.t9 IS 't';
  CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON many.t9 DEFERRABLE FOR EACH ROW EXECUTE FUNCTION public.forbid();
  ALTER TABLE many.t9 DISABLE TRIGGER later;
  CREATE VIEW many.over AS SELECT t10.id, t11.v FROM many.t10 JOIN many.t11 USING (id);
  CREATE VIEW many.grouped AS SELECT id, v FROM many.t12 GROUP BY id;
  CREATE MATERIALIZED VIEW many.mat AS SELECT count(*) AS n FROM many.t60;
  CREATE FUNCTION many.of_row(many.t13) RETURNS text LANGUAGE sql AS 'SELECT $1.v';
  CREATE FUNCTION many.reads() RETURNS bigint LANGUAGE sql STABLE BEGIN ATOMIC SELECT count(*) FROM many.t14; END;
  CREATE TABLE many.holds_rows (r many.t15, m mood, n int DEFAULT many.reads());
  CREATE STATISTICS many.stats ON v, w FROM many.t16;
  CREATE PUBLICATION names_one FOR TABLE many.t17 WHERE (id > 3);
  CREATE RULE quiet AS ON DELETE TO many.t18 DO INSTEAD NOTHING;
  CREATE POLICY p ON many.t19 USING (id > 0); CREATE POLICY q ON many.t20 USING (true); ALTER TABLE many.t20 ENABLE ROW LEVEL SECURITY;
  CREATE SEQUENCE many.shared; CREATE TABLE many.by_shared (id int DEFAULT nextval('many.shared'));
  CREATE TABLE many.by_other (id int DEFAULT nextval('many.t21_id_seq'));
  CREATE TABLE many.by_function (id int, CHECK (public.add_one(id) > 0));
  CREATE TABLE many.by_index (id int); CREATE INDEX ON many.by_index (public.add_one(id));
  CREATE TABLE many.kin () INHERITS (many.t22);`;

/** These can't stand right behind the schemas, or a dump of single tables would lose something of them. */
const NOT_PLAIN = [
  ...['t12', 't16', 't17', 't18', 't19', 't20', 't22', 'kin'],
  ...['holds_rows', 'by_shared', 'by_other', 'by_function', 'by_index'],
];

describe('a database of more tables than may be locked at once', () => {
  let server: TestServer;
  let repository: TestRepository;
  let most = 0;
  let tables = 0;
  let sliced: readonly string[] = [];

  beforeAll(async () => {
    server = await startServer();
    repository = await createRepository();
    await createZoo(server, 'zoo');
    await query(server.url('zoo'), PLAIN);
    await withSession(
      parseConnectionUrl(server.url('zoo')),
      'zoo',
      new AbortController().signal,
      async (session) => {
        const { read } = await select(session, await readRelations(session), ysqlSource());
        const lockable = read.filter(takesLock);
        const { rest, slices } = await inTransaction(session, () => divide(session, lockable, 40));
        [most, tables] = [rest, lockable.length];
        sliced = slices.flat().map(({ schema, table }) => `${schema}.${table}`);
      },
    );
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  const engine: typeof ysqlEngine = {
    ...ysqlEngine,
    openReadPoint: (verb, source, epoch) => openReadPoint(verb, source, epoch, most),
  };
  const backup = (meanwhile: Parameters<typeof runBackup>[3] = {}, chunkBytes = 1_000_000) =>
    runBackup(engine, backupContext(repository, server.url('zoo')), ysqlSource({ chunkBytes }), meanwhile);

  test('has its plain tables told from the rest', () => {
    expect(most).toBeLessThan(tables);
    expect(sliced).toContain('many.t1');
    expect(sliced).toContain('many.new\nline');
    expect(sliced).toContain('many.computed');
    expect(sliced.filter((name) => NOT_PLAIN.some((table) => name === `many.${table}`))).toEqual([]);
    for (const name of ['every_type', 'sales', 'sales_other', 'animal', 'parrot', 'secrets', 'typed']) {
      expect(sliced).not.toContain(`public.${name}`);
    }
  });

  test('comes back as from one dump, though nobody locks all of them', async () => {
    let locked = 0;
    const inSlices = await backup(
      {
        async afterReadPoint() {
          const rows = await query(
            server.url('zoo'),
            `SELECT count(DISTINCT relation)::int AS locked FROM pg_locks WHERE locktype = 'relation' AND relation >= 16384 AND pid <> pg_backend_pid()`,
          );
          locked = Number(rows[0]?.locked);
        },
      },
      100_000,
    );
    expect(locked).toBe(0);
    expect(inSlices.readPoint).toMatchObject({ tablesLockedAtOnce: most });
    const inOne = await takeBackup(repository, server.url('zoo'), ysqlSource({ chunkBytes: 100_000 }));
    expect(inOne.readPoint).not.toHaveProperty('tablesLockedAtOnce');
    expect(await typesAndNames(inSlices)).toEqual(await typesAndNames(inOne));
    const outcome = await runRestore(
      restoreContext(inSlices, server.url('zoo'), { into: { zoo: 'zoo_sliced' } }),
    );
    expect(outcome.problems).toEqual([]);
    await runRestore(restoreContext(inOne, server.url('zoo'), { into: { zoo: 'zoo_whole' } }));
    expect(await compareDatabases(server, server.url('zoo'), server.url('zoo_sliced'))).toEqual([]);
    expect(await compareDatabases(server, server.url('zoo_whole'), server.url('zoo_sliced'))).toEqual([]);
  });

  test.each([
    [
      'truncated',
      'TRUNCATE many.t30',
      'INSERT INTO many.t30 (v) SELECT i::text FROM generate_series(1, 30) i',
    ],
    ['rewritten', 'ALTER TABLE many.t31 ALTER id TYPE bigint', 'ALTER TABLE many.t31 ALTER id TYPE int'],
    [
      'made anew',
      'ALTER TABLE many.t32 RENAME TO t32_old; CREATE TABLE many.t32 (LIKE many.t32_old)',
      'DROP TABLE many.t32; ALTER TABLE many.t32_old RENAME TO t32',
    ],
    ['dropped', 'ALTER TABLE many.t33 RENAME TO t33_old', 'ALTER TABLE many.t33_old RENAME TO t33'],
    [
      'given other columns',
      'ALTER TABLE many.t34 RENAME v TO u; ALTER TABLE many.t34 ADD v text',
      'ALTER TABLE many.t34 DROP v; ALTER TABLE many.t34 RENAME u TO v',
    ],
  ])('loses its read point when a table is %s before its rows are read', async (_, change, back) => {
    const taking = backup({ afterFirstChunk: () => query(server.url('zoo'), change) });
    await expect(taking).rejects.toMatchObject({
      code: READ_POINT_LOST,
      message: expect.stringContaining('many.t3'),
    });
    await query(server.url('zoo'), back);
  });

  test('loses its read point when the schema changes before it is dumped, and not when a column is added later', async () => {
    const early = backup({
      afterReadPoint: () => query(server.url('zoo'), 'CREATE TABLE many.comes (a int)'),
    });
    await expect(early).rejects.toMatchObject({ code: READ_POINT_LOST });
    const later = await backup({
      afterFirstChunk: () =>
        query(server.url('zoo'), 'ALTER TABLE many.t40 ADD more int; DROP TABLE many.comes'),
    }).catch((error: unknown) => error);
    expect(later).toMatchObject({ code: READ_POINT_LOST, message: expect.stringContaining('many.comes') });
    const added = await backup({
      afterFirstChunk: () => query(server.url('zoo'), 'ALTER TABLE many.t41 ADD more int DEFAULT 5'),
    });
    const outcome = await runRestore(
      restoreContext(added, server.url('zoo'), { into: { zoo: 'zoo_added' }, check: 'rows' }),
    );
    expect(outcome.problems).toEqual([]);
  });

  test('is refused where those that need an order are too many by themselves', async () => {
    most = 10;
    await expect(backup()).rejects.toMatchObject({
      code: 'YSQL_TOO_FEW_LOCKS',
      remedy: expect.stringContaining('max_locks_per_transaction to'),
    });
  });
});

async function typesAndNames(backup: Awaited<ReturnType<typeof takeBackup>>): Promise<readonly string[]> {
  const names: string[] = [];
  for (const object of backup.manifest.databases.flatMap(({ schemaObjects }) => schemaObjects)) {
    const entries = dumpEntries(await readScript(backup.context, object));
    names.push(...entries.map(({ type, schema, name }) => `${type} ${schema} ${name}`));
  }
  return names.sort();
}

describe('slices put together', () => {
  const entry = (type: string, name: string, sql: string) =>
    `--\n-- Name: ${name}; Type: ${type}; Schema: s; Owner: me\n--\n\n${sql};\n\n\n`;
  const REST = [
    entry('SCHEMA', 's', 'CREATE SCHEMA s'),
    entry('FUNCTION', 'f()', 'CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS $$SELECT 1$$'),
    "SET default_tablespace = '';\n\n",
    entry('TABLE', 'own', 'CREATE TABLE s.own (a int)'),
    entry('CONSTRAINT', 'own own_pkey', 'ALTER TABLE ONLY s.own ADD CONSTRAINT own_pkey PRIMARY KEY (a)'),
    entry('MATERIALIZED VIEW DATA', 'm', 'REFRESH MATERIALIZED VIEW s.m'),
    entry('ACL', 'TABLE own', 'GRANT SELECT ON TABLE s.own TO you'),
  ].join('');
  const SLICE = [
    'SET default_tablespace = fast;\n\n',
    entry('TABLE', 't', 'CREATE TABLE s.t (a int)'),
    entry('CONSTRAINT', 't t_pkey', 'ALTER TABLE ONLY s.t ADD CONSTRAINT t_pkey PRIMARY KEY (a)'),
    entry('COMMENT', 'CONSTRAINT t_pkey ON t', "COMMENT ON CONSTRAINT t_pkey ON s.t IS 'k'"),
    entry('TRIGGER', 't g', 'CREATE TRIGGER g AFTER INSERT ON s.t EXECUTE FUNCTION s.f()'),
    entry(
      'FK CONSTRAINT',
      't fk',
      'ALTER TABLE ONLY s.t ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES s.own(a)',
    ),
    entry('ACL', 'TABLE t', 'GRANT SELECT ON TABLE s.t TO you'),
  ].join('');

  test('have each entry in its place, under its own settings', () => {
    const entries = dumpEntries(mergeSlices(REST, [SLICE]));
    expect(entries.map(({ type, name }) => `${type} ${name}`)).toEqual([
      ...[
        'SCHEMA s',
        'TABLE t',
        'FUNCTION f()',
        'TABLE own',
        'CONSTRAINT t t_pkey',
        'COMMENT CONSTRAINT t_pkey ON t',
      ],
      ...['CONSTRAINT own own_pkey', 'TRIGGER t g', 'FK CONSTRAINT t fk', 'MATERIALIZED VIEW DATA m'],
      ...['ACL TABLE own', 'ACL TABLE t'],
    ]);
    const settings = (name: string) => entries.find((one) => one.name === name)?.settings;
    expect(settings('t')).toEqual(['SET default_tablespace = fast;']);
    expect(settings('own')).toEqual(["SET default_tablespace = '';"]);
    expect(settings('t t_pkey')).toEqual(['SET default_tablespace = fast;']);
    expect(settings('own own_pkey')).toEqual(["SET default_tablespace = '';"]);
  });

  test('are refused where they hold what has no place', () => {
    expect(() => mergeSlices(REST, [entry('VIEW', 'v', 'CREATE VIEW s.v AS SELECT 1')])).toThrow('VIEW s.v');
  });

  test('are refused where an object is missing, or is there twice', () => {
    const expected = [
      { type: 'TABLE', schema: 's', name: 't' },
      { type: 'CONSTRAINT', schema: 's', name: 't t_pkey' },
      { type: 'FK CONSTRAINT', schema: 's', name: 't fk' },
      { type: 'TRIGGER', schema: 's', name: 't g' },
      { type: 'COMMENT', schema: 's', name: '' },
    ];
    const check = (some: typeof expected, slices: string, rest = REST) =>
      requireEachOnce('d', some, dumpEntries(slices), dumpEntries(rest));
    expect(() => check(expected, SLICE)).not.toThrow();
    expect(() => check([...expected, { type: 'INDEX', schema: 's', name: 'i' }], SLICE)).toThrow(
      'lacks INDEX s.i',
    );
    expect(() => check(expected, SLICE + SLICE)).toThrow('it has TABLE s.t');
    expect(() => check(expected.slice(0, -1), SLICE)).not.toThrow();
    expect(() => check(expected, SLICE, REST + SLICE)).toThrow('TABLE s.t twice');
  });

  test('are asked for by patterns that have the beginning of their names in common', () => {
    const names = ['t12', 't1', 't"|3', 'ü', 'u'].map((table) => ({ schema: 'a"', table }));
    expect(tablePatterns(names)).toEqual(['"a""".("t""|3"|"t1"|"t12"|"u"|"ü")']);
    const alike = Array.from({ length: 90 }, (_, at) => ({ schema: 's', table: `same_${at}` }));
    const patterns = tablePatterns(alike);
    expect(patterns).toHaveLength(3);
    expect(patterns[0]).toMatch(/^"s"\."same_"\("0"\|"1"\|"10"/);
    expect(tablePatterns([{ schema: 's', table: 't' }])).toEqual(['"s"."t"("")']);
  });
});
