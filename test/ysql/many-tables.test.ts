import { checkSource } from '../../engines/ysql/check.ts';
import { startPostgres } from '../../parts/postgres.ts';
import { query } from '../support/sql.ts';
import {
  backupContext,
  createRepository,
  restoreContext,
  runRestore,
  type TestRepository,
  type TestServer,
  takeBackup,
  ysqlSource,
} from './harness.ts';

const TABLES = Number(process.env.MANY_TABLES ?? 1_200);

/** Room for about 900 locks: not enough for the tables below. */
const SETTINGS = { max_locks_per_transaction: '20', max_connections: '45' };

describe('a database of more relations than the server has room for locks', () => {
  let server: TestServer;
  let repository: TestRepository;

  beforeAll(async () => {
    server = await startPostgres(process.env.MANY_TABLES === undefined ? { settings: SETTINGS } : {});
    repository = await createRepository();
    await query(server.url(), 'CREATE DATABASE many');
    for (let first = 0; first < TABLES; first += 250) {
      await query(
        server.url('many'),
        `DO $$ BEGIN FOR i IN ${first}..${Math.min(first + 250, TABLES) - 1} LOOP
           EXECUTE format('CREATE TABLE t%s (id serial PRIMARY KEY, v text, w text UNIQUE)', i);
           EXECUTE format('INSERT INTO t%s (v, w) VALUES (''x'', %L)', i, i);
         END LOOP; END $$`,
      );
    }
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  test('is backed up and comes back, its schema in several transactions', async () => {
    const backup = await takeBackup(repository, server.url('many'), ysqlSource({ chunkBytes: 1_000_000 }));
    expect(backup.manifest.totals).toMatchObject({ tables: TABLES, rows: TABLES });
    const outcome = await runRestore(
      restoreContext(backup, server.url('many'), { into: { many: 'many_again' }, check: 'rows' }),
    );
    expect(outcome.problems).toEqual([]);
    expect(outcome.tables).toBe(TABLES);
  });

  test('doctor does the sum', async () => {
    const checks = await checkSource(backupContext(repository, server.url('many')), ysqlSource());
    expect(checks.find(({ name }) => name === 'room for locks')).toMatchObject({
      ok: true,
      detail: expect.stringMatching(
        /tables and sequences are too many to be locked at once, since the server has room for about \d+ locks: each is locked while it is read, and the schema is dumped in \d+ slices$/,
      ),
    });
  });
});
