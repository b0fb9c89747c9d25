import { readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { FETCHED_POSTGRES_RUNS_HERE } from '../../parts/postgres-versions.ts';
import { query } from '../support/sql.ts';
import { compareDatabases } from './compare.ts';
import {
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

/* The versions after Debian's, with their own defaults. The schema is dumped by PostgreSQL 18's program. */

const runHere = FETCHED_POSTGRES_RUNS_HERE && process.env.HOLDFAST_TEST_YSQL_URL === undefined;

(runHere ? describe : describe.skip).each([16, 17, 18] as const)('PostgreSQL %s', (version) => {
  let server: TestServer;
  let repository: TestRepository;

  beforeAll(async () => {
    server = await startServer(version);
    process.env.PATH = `${process.env.PATH}${delimiter}${server.binDirectory}`;
    repository = await createRepository();
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  async function backUpAndRestore(name: string) {
    const backup = await takeBackup(repository, server.url(name), ysqlSource());
    const outcome = await runRestore(
      restoreContext(backup, server.url(name), { into: { [name]: `${name}_again` } }),
    );
    expect(outcome.problems).toEqual([]);
    return backup;
  }

  async function createCase(name: string): Promise<void> {
    await query(server.url(), `CREATE DATABASE ${name}`);
    const file = join(import.meta.dirname, 'cases', `${name.replaceAll('_', '-')}.sql`);
    await query(server.url(name), await readFile(file, 'utf8'));
  }

  test('a database that has every kind of object comes back exactly', async () => {
    await createZoo(server, 'zoo');
    const backup = await backUpAndRestore('zoo');
    expect(backup.manifest.server.version).toMatch(new RegExp(`^${version}\\.`));
    expect(await compareDatabases(server, server.url('zoo'), server.url('zoo_again'))).toEqual([]);
  });

  if (version >= 17) {
    test('a database that limits its transactions to three seconds is backed up, however long that takes', async () => {
      await createCase('transaction_timeout');
      const backup = await takeBackup(
        repository,
        server.url('transaction_timeout'),
        ysqlSource(),
        () => new Promise((resolve) => setTimeout(resolve, 3_500)),
      );
      expect(backup.manifest.totals.rows).toBe(1_500_000);
    });
  }

  if (version >= 17) {
    test.each([
      ['refuses every login', "RAISE EXCEPTION 'nobody comes in'"],
      ['notes every login', 'INSERT INTO public.logins VALUES (now())'],
    ])('a database whose event trigger %s is backed up, restored and dropped', async (what, body) => {
      const name = `login_${what.split(' ')[0]}`;
      await query(server.url(), `CREATE DATABASE ${name}`);
      await query(
        server.url(name),
        'CREATE TABLE logins (at timestamptz)',
        'CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i',
        `CREATE FUNCTION at_login() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN ${body}; END $$`,
        'CREATE EVENT TRIGGER watch ON login EXECUTE FUNCTION at_login()',
      );
      const backup = await backUpAndRestore(name);
      await runRestore(restoreContext(backup, server.url(name), { replace: true }));
      const quiet = (database: string) => `${server.url(database)}?options=-c%20event_triggers%3Doff`;
      for (const database of [name, `${name}_again`]) {
        expect(await query(quiet(database), 'SELECT count(*)::int AS logins FROM logins')).toEqual([
          { logins: 0 },
        ]);
        expect(await query(quiet(database), 'SELECT evtname FROM pg_event_trigger')).toEqual([
          { evtname: 'watch' },
        ]);
      }
    });
  }

  if (version >= 18) {
    test('virtual generated columns come back, computed', async () => {
      await createCase('generated_virtual');
      await backUpAndRestore('generated_virtual');
      expect(await query(server.url('generated_virtual_again'), 'SELECT sum(b)::int AS b FROM g')).toEqual([
        { b: 10_100 },
      ]);
    });
  }
});
