import { query } from '../support/sql.ts';
import { compareDatabases } from './compare.ts';
import { createCase, runEagerRestore, wrongIndexes } from './eager.ts';
import {
  createRepository,
  restoreContext,
  startServer,
  type TestRepository,
  type TestServer,
  takeBackup,
} from './harness.ts';

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

test('a backup records the indexes whose calls the schema’s text doesn’t show', async () => {
  await query(server.url(), 'CREATE DATABASE hidden');
  await query(
    server.url('hidden'),
    `SET allow_system_table_mods = on;
     CREATE FUNCTION pg_catalog.added(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'`,
    'CREATE TABLE t (a int PRIMARY KEY); CREATE INDEX hidden ON t (added(a)); CREATE INDEX plain ON t (abs(a))',
  );
  const { manifest } = await takeBackup(repository, server.url('hidden'));
  expect(manifest.databases[0]?.hiddenCalls).toEqual(['public.hidden']);
});

describe('pg_dump’s order is kept where something may need it', () => {
  test.each([
    ['an index whose function reads a table that is loaded later', 'index-reads-other-table'],
    ['an index on a function that pg_dump writes behind the keys', 'postponed-function-index'],
    ['a check whose function reads a table that is loaded later', 'check-reads-other-table'],
  ])('%s', async (_, name) => {
    const database = name.replaceAll('-', '_');
    await createCase(server, name, database);
    const backup = await takeBackup(repository, server.url(database));
    for (const [copy, backwards] of [
      [`${database}_2`, false],
      [`${database}_3`, true],
    ] as const) {
      const wish = { into: { [database]: copy } };
      const outcome = await runEagerRestore(restoreContext(backup, server.url(), wish), backwards);
      expect(outcome.problems).toEqual([]);
      expect(await compareDatabases(server, server.url(database), server.url(copy))).toEqual([]);
      expect(await wrongIndexes(server.url(copy))).toEqual([]);
    }
  });
});
