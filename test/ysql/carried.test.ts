import type { RestoreContext } from '../../engines/engine.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { forEachBounded } from '../../repository/bounded.ts';
import { query } from '../support/sql.ts';
import { createRepository, restoreContext, type TestRepository, takeBackup, ysqlSource } from './harness.ts';

/*
 * What a database carries, one thing at a time: the columns of pg_database, settings of pg_db_role_setting, the kinds of objects that
 * hold a database. Backup, rehearsal and its end, and a restore that replaces must work with each, and leave nothing.
 */

interface Carried {
  /** Run in the maintenance database, with `DB` for the name, once it exists. */
  readonly database?: readonly string[];
  /** Run in the database itself. */
  readonly inside?: readonly string[];
  /** Instead of plain CREATE DATABASE. */
  readonly create?: string;
}

const TEMPLATE0 = 'CREATE DATABASE DB TEMPLATE template0';

const COLUMNS: Readonly<Record<string, Carried>> = {
  'datdba and datacl': {
    database: ['ALTER DATABASE DB OWNER TO carried_owner', 'REVOKE ALL ON DATABASE DB FROM PUBLIC'],
  },
  'encoding LATIN1': { create: `${TEMPLATE0} ENCODING 'LATIN1' LOCALE 'C'` },
  'encoding SQL_ASCII': { create: `${TEMPLATE0} ENCODING 'SQL_ASCII' LOCALE 'C'` },
  datlocprovider: { create: `${TEMPLATE0} LOCALE_PROVIDER icu ICU_LOCALE 'de' LOCALE 'C' ENCODING 'UTF8'` },
  datistemplate: { database: ['ALTER DATABASE DB IS_TEMPLATE true'] },
  'datconnlimit 1': { database: ['ALTER DATABASE DB CONNECTION LIMIT 1'] },
  'datconnlimit 0': { database: ['ALTER DATABASE DB CONNECTION LIMIT 0'] },
  dattablespace: { database: ['ALTER DATABASE DB SET TABLESPACE pg_default'] },
  'a comment': { database: ["COMMENT ON DATABASE DB IS 'DATABASE DB it''s'"] },
};

const SETTINGS: readonly string[] = [
  "default_transaction_read_only = 'on'",
  "default_transaction_deferrable = 'on'",
  "default_transaction_isolation = 'serializable'",
  "session_replication_role = 'replica'",
  "statement_timeout = '20ms'",
  "lock_timeout = '20ms'",
  "idle_in_transaction_session_timeout = '20ms'",
  "idle_session_timeout = '2s'",
  "row_security = 'off'",
  "search_path = 'nowhere'",
  "DateStyle = 'SQL, DMY'",
  "IntervalStyle = 'sql_standard'",
  "TimeZone = 'Asia/Kolkata'",
  "extra_float_digits = '-15'",
  "bytea_output = 'escape'",
  "client_encoding = 'LATIN1'",
  "standard_conforming_strings = 'off'",
  "array_nulls = 'off'",
  "transform_null_equals = 'on'",
  "quote_all_identifiers = 'on'",
  "xmloption = 'document'",
  "zero_damaged_pages = 'on'",
  "ignore_checksum_failure = 'on'",
  "default_table_access_method = 'heap'",
  "synchronous_commit = 'off'",
  "enable_seqscan = 'off'",
  "log_statement = 'all'",
];

const OBJECTS: Readonly<Record<string, Carried>> = {
  publication: { inside: ['CREATE PUBLICATION DB_p FOR ALL TABLES'] },
  subscription: {
    inside: [
      "CREATE SUBSCRIPTION DB_s CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION p WITH (connect = false)",
    ],
  },
  'a logical slot': { inside: ["SELECT pg_create_logical_replication_slot('DB_slot', 'test_decoding')"] },
  'event trigger': {
    inside: [
      "CREATE FUNCTION public.noted() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM 1; END'",
      'CREATE EVENT TRIGGER noted ON ddl_command_end EXECUTE FUNCTION public.noted()',
    ],
  },
  'unlogged table': { inside: ['CREATE UNLOGGED TABLE u AS SELECT 1 AS a'] },
  'large object': { inside: ["SELECT lo_from_bytea(0, 'x')"] },
  'foreign server': {
    inside: ['CREATE EXTENSION postgres_fdw', 'CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw'],
  },
  'prepared transaction that is over': {
    inside: ['BEGIN; PREPARE TRANSACTION $$DB$$', 'ROLLBACK PREPARED $$DB$$'],
  },
};

const CARRIED: ReadonlyMap<string, Carried> = new Map([
  ...Object.entries(COLUMNS),
  ...SETTINGS.map((setting): [string, Carried] => [
    setting,
    { database: [`ALTER DATABASE DB SET ${setting}`] },
  ]),
  ['a setting of a role', { database: ["ALTER ROLE carried_owner IN DATABASE DB SET work_mem = '5MB'"] }],
  ...Object.entries(OBJECTS),
]);

const AT_ONCE = 3;

describe('whatever a database carries', () => {
  let server: PostgresServer;
  let repository: TestRepository;

  beforeAll(async () => {
    server = await startPostgres({
      settings: { wal_level: 'logical', max_prepared_transactions: '4', max_connections: '200' },
    });
    repository = await createRepository();
    await query(server.url(), 'CREATE ROLE carried_owner');
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  async function restoreOnce(context: RestoreContext) {
    const { restore } = ysqlEngine;
    const plan = await restore.plan(context);
    await restore.prepare(context);
    for (let task = 0; task < plan.tasks; task += 1) await restore.load(context, task);
    for (const [wave, units] of plan.postDataWaves.entries()) {
      for (let unit = 0; unit < units; unit += 1) await restore.postData(context, { wave, unit, units });
    }
    return await restore.finish(context);
  }

  /** What pg_database and pg_db_role_setting say, but for what names or dates the database. */
  async function properties(name: string) {
    return await query(
      server.url(),
      `SELECT to_jsonb(d) - 'oid' - 'datname' - 'datfrozenxid' - 'datminmxid' - 'dathasloginevt' AS columns,
         shobj_description(oid, 'pg_database') AS comment,
         (SELECT jsonb_agg(jsonb_build_array(setrole, setconfig) ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid) AS settings
       FROM pg_database d WHERE datname = '${name}'`,
    );
  }

  async function databasesOf(name: string): Promise<readonly unknown[]> {
    const rows = await query(
      server.url(),
      `SELECT datname FROM pg_database WHERE datname = '${name}' OR datname LIKE '${name}\\_%' ORDER BY 1`,
    );
    return rows.map(({ datname }) => datname);
  }

  async function tryOut(name: string, carried: Carried): Promise<void> {
    const named = (texts: readonly string[] = []) => texts.map((text) => text.replaceAll('DB', name));
    await query(server.url(), ...named([carried.create ?? 'CREATE DATABASE DB']));
    await query(
      server.url(name),
      'CREATE TABLE public.t (id int PRIMARY KEY, f float8, a text[])',
      "INSERT INTO public.t SELECT i, 1 / i::float8, ARRAY[NULL, 'NULL', i::text] FROM generate_series(1, 20) i",
      ...named(carried.inside),
    );
    await query(server.url(), ...named(carried.database));
    const before = await properties(name);
    const backup = await takeBackup(repository, server.url(name), ysqlSource());
    const rehearsal = restoreContext(backup, server.url(), { restore: `drill_${name}`, scratch: true });
    expect(await restoreOnce(rehearsal)).toMatchObject({ problems: [] });
    await ysqlEngine.restore.discard(rehearsal);
    expect(await databasesOf(name)).toEqual([name]);
    const replacing = restoreContext(backup, server.url(), { restore: `now_${name}`, replace: true });
    expect(await restoreOnce(replacing)).toMatchObject({
      problems: [],
      databases: [{ from: name, to: name, kept: `${name}_before_now_${name}` }],
    });
    expect(await databasesOf(name)).toEqual([name, `${name}_before_now_${name}`]);
    expect(await properties(name)).toEqual(before);
  }

  test('it is backed up, rehearsed, and replaced, and nothing is left', async () => {
    const failures: string[] = [];
    await forEachBounded([...CARRIED].entries(), AT_ONCE, async ([index, [what, carried]]) => {
      try {
        await tryOut(`carried${index}`, carried);
      } catch (error) {
        failures.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
      }
    });
    expect(failures).toEqual([]);
  });
});
