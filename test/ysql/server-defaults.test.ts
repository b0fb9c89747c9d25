import { programError } from '../../engines/ysql/server/programs/run.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { query } from '../support/sql.ts';
import { createRepository, restoreContext, runRestore, type TestRepository, takeBackup } from './harness.ts';

/* Defaults of a server, a database or a role hold for every session, also for those of the dump programs. */

const WITH_BACKSLASHES = [
  "CREATE TYPE e AS ENUM ('a\\b', 'c')",
  "CREATE TABLE t (a text DEFAULT 'x\\y' CHECK (a <> 'z\\q'), m money DEFAULT 1234.5::money, e e)",
  "COMMENT ON TABLE t IS 'tab\\le'",
  "COMMENT ON COLUMN t.a IS E'ends in \\\\'",
  "CREATE VIEW v AS SELECT 'v\\w'::text AS w, 'it''s \\'''::text AS q",
  "INSERT INTO t (e) VALUES ('a\\b')",
];

/** What the schema of WITH_BACKSLASHES says, whatever the settings. */
const SCHEMA = `
  SELECT (SELECT array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = 'e'::regtype) AS labels,
    (SELECT array_agg(pg_get_expr(adbin, adrelid) ORDER BY adnum) FROM pg_attrdef WHERE adrelid = 't'::regclass) AS defaults,
    (SELECT array_agg(pg_get_constraintdef(oid)) FROM pg_constraint WHERE conrelid = 't'::regclass) AS checks,
    obj_description('t'::regclass, 'pg_class') AS comment, col_description('t'::regclass, 1) AS column,
    shobj_description((SELECT oid FROM pg_database WHERE datname = current_database()), 'pg_database') AS database,
    (SELECT array[w, q] FROM v) AS view`;

describe('what is set for a database and a role', () => {
  let server: PostgresServer;
  let repository: TestRepository;

  beforeAll(async () => {
    server = await startPostgres();
    repository = await createRepository();
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  const schema = (name: string) =>
    query(
      server.url(name),
      'SET standard_conforming_strings = on',
      "SET lc_monetary = 'C'",
      'SET statement_timeout = 0',
      SCHEMA,
    );

  async function comesBackAlike(name: string): Promise<void> {
    const before = await schema(name);
    const backup = await takeBackup(repository, server.url(name));
    const restored = await runRestore(
      restoreContext(backup, server.url(), { into: { [name]: `${name}_r` }, check: 'content' }),
    );
    expect(restored.problems).toEqual([]);
    expect(await schema(`${name}_r`)).toEqual(before);
  }

  test('does not change the text of a schema: backslashes, money', async () => {
    await query(server.url(), 'CREATE DATABASE scs');
    await query(server.url('scs'), ...WITH_BACKSLASHES);
    await query(
      server.url(),
      "COMMENT ON DATABASE scs IS 'd\\b'",
      'ALTER DATABASE scs SET standard_conforming_strings = off',
    );
    await comesBackAlike('scs');
  });

  test('does not end the sessions and programs of a backup: short timeouts', async () => {
    const { username } = new URL(server.url());
    await query(server.url(), 'CREATE DATABASE hasty');
    await query(server.url('hasty'), ...WITH_BACKSLASHES);
    const timeouts = [
      "statement_timeout = '1ms'",
      "idle_session_timeout = '100ms'",
      "idle_in_transaction_session_timeout = '100ms'",
    ];
    await query(server.url(), ...timeouts.map((timeout) => `ALTER DATABASE hasty SET ${timeout}`));
    await query(
      server.url(),
      ...timeouts.map((timeout) => `ALTER ROLE "${username}" IN DATABASE hasty SET ${timeout}`),
    );
    const backup = await takeBackup(repository, server.url('hasty'));
    expect(backup.manifest.databases.map(({ name }) => name)).toEqual(['hasty']);
    const restored = await runRestore(
      restoreContext(backup, server.url(), { into: { hasty: 'hasty_r' }, check: 'content' }),
    );
    expect(restored.problems).toEqual([]);
  });
});

test('a program that a timeout ended names the setting', () => {
  const error = programError(
    'pg_dump',
    'pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout',
  );
  expect(error.remedy).toContain('statement_timeout');
});
