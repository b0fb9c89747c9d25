import { startYsqlProxy, type YsqlProxy } from '../proxy/proxy.ts';
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
} from './harness.ts';

describe("in YugabyteDB's dialect", () => {
  let server: TestServer;
  let proxy: YsqlProxy;
  let repository: TestRepository;

  beforeAll(async () => {
    server = await startServer();
    proxy = await startYsqlProxy({ upstreamUrl: server.url() });
    repository = await createRepository();
    await createZoo(server, 'zoo');
  });

  afterAll(async () => {
    await proxy?.stop();
    await server?.stop();
    await repository?.remove();
  });

  test('a backup reads one instant by hash ranges, whatever is written meanwhile, and comes back exactly', async () => {
    await query(server.url(), 'CREATE DATABASE before TEMPLATE zoo');
    await query(server.url('zoo'), 'ANALYZE every_type');
    const backup = await takeBackup(repository, throughProxy('zoo'), undefined, () =>
      query(
        server.url('zoo'),
        'INSERT INTO every_type (id, d) SELECT i, 1 FROM generate_series(2000, 2100) i',
        'INSERT INTO bird SELECT i, $$late$$, 1 FROM generate_series(50, 60) i',
        "UPDATE every_type SET long = 'overwritten' WHERE id = 3",
      ),
    );
    expect(backup.manifest.server).toEqual({ product: 'yugabytedb', version: '15.12-YB-2025.2.1.0-b0' });
    expect(backup.readPoint.kind).toBe('yb-read-time');
    const outcome = await runRestore(restoreContext(backup, throughProxy('zoo'), { restore: 'yb' }));
    expect(outcome.problems).toEqual([]);
    expect(
      await compareDatabases(server, server.url('before'), server.url('zoo_restored_yb'), {
        ignoreDatabaseProperties: true,
      }),
    ).toEqual([]);
  });

  test('a large table is cut by the whole hash key into ranges that hold every row once', async () => {
    await query(
      server.url('zoo'),
      'CREATE TABLE hashed (a int, b text, c text, PRIMARY KEY (a, b))',
      "INSERT INTO hashed SELECT i, 'b' || i, repeat('x', 100) FROM generate_series(1, 3000) i",
    );
    const backup = await takeBackup(repository, throughProxy('zoo'));
    const parts = backup.objects.filter(({ table }) => table.table === 'hashed');
    expect(new Set(parts.map(({ key }) => key.split('-').slice(0, 2).join('-'))).size).toBeGreaterThan(10);
    expect(parts.reduce((sum, { rows }) => sum + rows, 0)).toBe(3000);
    await runRestore(restoreContext(backup, throughProxy('zoo'), { into: { zoo: 'zoo_hashed' } }));
    expect(
      await query(
        server.url('zoo_hashed'),
        'SELECT count(*)::int, count(DISTINCT (a, b))::int AS keys FROM hashed',
      ),
    ).toEqual([{ count: 3000, keys: 3000 }]);
  });

  test('DDL after the read point asks for a new one', async () => {
    const backing = takeBackup(repository, throughProxy('zoo'), undefined, () =>
      query(server.url('zoo'), 'CREATE TABLE too_late (a int)'),
    );
    await expect(backing).rejects.toMatchObject({ code: 'READ_POINT_LOST', transient: false });
  });

  function throughProxy(database: string): string {
    const url = new URL(server.url(database));
    url.port = String(proxy.port);
    return url.href;
  }
});
