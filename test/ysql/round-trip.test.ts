import { query } from '../support/sql.ts';
import { compareDatabases } from './compare.ts';
import {
  createRepository,
  createZoo,
  restoreContext,
  runRestore,
  startServer,
  type TestBackup,
  type TestRepository,
  type TestServer,
  takeBackup,
  ysqlSource,
} from './harness.ts';

/** Each must show in a comparison. */
const MUTATIONS = [
  "UPDATE every_type SET long = long || ' ' WHERE id = 3",
  'INSERT INTO no_columns DEFAULT VALUES',
  "SELECT setval('set_uncalled', 77, true)",
  'ALTER TABLE indexed ENABLE TRIGGER t_disabled',
  'REVOKE SELECT (id) ON every_type FROM zoo_reader',
  'DROP INDEX indexed_brin',
  'REFRESH MATERIALIZED VIEW mat_empty',
  'ALTER TABLE secrets NO FORCE ROW LEVEL SECURITY',
  "INSERT INTO bird VALUES (9, 'gull', 120)",
];

describe('a database that has every kind of object', () => {
  let server: TestServer;
  let repository: TestRepository;
  let backup: TestBackup;

  beforeAll(async () => {
    server = await startServer();
    repository = await createRepository();
    await createZoo(server, 'zoo');
    backup = await takeBackup(repository, server.url('zoo'), ysqlSource({ globals: 'roles' }));
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  test('comes back exactly, each step of the restore being done twice', async () => {
    const outcome = await runRestore(restoreContext(backup, server.url('zoo'), { restore: 'exact' }));
    expect(outcome.problems).toEqual([]);
    expect(outcome.databases).toEqual([{ from: 'zoo', to: 'zoo_restored_exact' }]);
    expect(await compareDatabases(server, server.url('zoo'), server.url('zoo_restored_exact'))).toEqual([]);
  });

  test('is told apart from a copy in which one thing was changed', async () => {
    await runRestore(restoreContext(backup, server.url('zoo'), { into: { zoo: 'zoo_twin' }, check: 'rows' }));
    const compared = () =>
      compareDatabases(server, server.url('zoo'), server.url('zoo_mutant'), {
        ignoreDatabaseProperties: true,
      });
    for (const change of ['SELECT 1', ...MUTATIONS]) {
      await query(
        server.url(),
        'DROP DATABASE IF EXISTS zoo_mutant',
        'CREATE DATABASE zoo_mutant TEMPLATE zoo_twin',
      );
      await query(server.url('zoo_mutant'), change);
      expect({ change, differs: (await compared()).length > 0 }).toEqual({
        change,
        differs: change !== 'SELECT 1',
      });
    }
    await query(server.url(), 'ALTER DATABASE zoo_twin RESET zoo.closed');
    expect(await compareDatabases(server, server.url('zoo'), server.url('zoo_twin'))).not.toEqual([]);
  });

  test('cuts large tables at row boundaries into objects of the chunk size', async () => {
    const large = backup.objects.filter(({ table }) => table.table === 'every_type');
    expect(large.length).toBeGreaterThan(3);
    expect(await query(server.url('zoo'), 'SELECT count(*)::int AS rows FROM every_type')).toEqual([
      { rows: large.reduce((sum, { rows }) => sum + rows, 0) },
    ]);
  });
});
