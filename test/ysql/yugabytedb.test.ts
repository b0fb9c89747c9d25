import { CLIENT_LINES } from '../proxy/client-lines.ts';
import { query } from '../support/sql.ts';
import { compareDatabases } from './compare.ts';
import {
  createRepository,
  createZoo,
  restoreContext,
  runRestore,
  type TestRepository,
  type TestServer,
  takeBackup,
} from './harness.ts';
import { startYugabyteStandIn, TESTED_LINES, type YugabyteStandIn } from './yugabyte-stand-in.ts';

/** `PARTITION OF` of the PostgreSQL 11 line gives an attached partition the order of its parent's columns (fact `dump.partition-of`). */
const COLUMN_ORDER =
  /^- {5}(?:amount numeric|region text NOT NULL),?$|^public\.sales_other: 400 rows, \w+ against 400 rows/;

describe.each(TESTED_LINES)('on YugabyteDB %s', (line) => {
  let yugabyte: YugabyteStandIn;
  let server: TestServer;
  let repository: TestRepository;

  beforeAll(async () => {
    yugabyte = await startYugabyteStandIn(line);
    server = yugabyte.server;
    repository = await createRepository();
    await createZoo(server, 'zoo', yugabyte.version);
  });

  afterAll(async () => {
    await yugabyte?.stop();
    await repository?.remove();
  });

  test('a backup reads one instant by hash ranges, whatever is written meanwhile, and comes back exactly', async () => {
    await query(server.url(), 'CREATE DATABASE before TEMPLATE zoo');
    await query(server.url('zoo'), 'ANALYZE every_type');
    const backup = await takeBackup(repository, yugabyte.url('zoo'), undefined, () =>
      query(
        server.url('zoo'),
        'INSERT INTO every_type (id, d) SELECT i, 1 FROM generate_series(2000, 2100) i',
        'INSERT INTO bird SELECT i, $$late$$, 1 FROM generate_series(50, 60) i',
        "UPDATE every_type SET long = 'overwritten' WHERE id = 3",
      ),
    );
    expect(backup.manifest.server).toEqual({ product: 'yugabytedb', version: CLIENT_LINES[line].version });
    expect(backup.readPoint.kind).toBe('yb-read-time');
    const outcome = await runRestore(restoreContext(backup, yugabyte.url('zoo'), { restore: 'yb' }));
    expect(outcome.problems).toEqual([]);
    const differences = await compareDatabases(server, server.url('before'), server.url('zoo_restored_yb'), {
      ignoreDatabaseProperties: true,
    });
    const lost = CLIENT_LINES[line].partitionOf ? COLUMN_ORDER : undefined;
    expect(differences.filter((difference) => lost?.test(difference) !== true)).toEqual([]);
  });

  test('a large table is cut by the whole hash key into ranges that hold every row once', async () => {
    await query(
      server.url('zoo'),
      'CREATE TABLE hashed (a int, b text, c text, PRIMARY KEY (a, b))',
      "INSERT INTO hashed SELECT i, 'b' || i, repeat('x', 100) FROM generate_series(1, 3000) i",
    );
    const backup = await takeBackup(repository, yugabyte.url('zoo'));
    const parts = backup.objects.filter(({ table }) => table.table === 'hashed');
    expect(new Set(parts.map(({ key }) => key.split('-').slice(0, 2).join('-'))).size).toBeGreaterThan(10);
    expect(parts.reduce((sum, { rows }) => sum + rows, 0)).toBe(3000);
    await runRestore(restoreContext(backup, yugabyte.url('zoo'), { into: { zoo: 'zoo_hashed' } }));
    expect(
      await query(
        server.url('zoo_hashed'),
        'SELECT count(*)::int, count(DISTINCT (a, b))::int AS keys FROM hashed',
      ),
    ).toEqual([{ count: 3000, keys: 3000 }]);
  });

  test('the schema is of the read point, whatever DDL follows it', async () => {
    const backup = await takeBackup(repository, yugabyte.url('zoo'), undefined, () =>
      query(server.url('zoo'), 'CREATE TABLE too_late (a int)'),
    );
    const tables = backup.manifest.databases.flatMap(({ tables }) => tables.map(({ table }) => table));
    expect(tables).toContain('every_type');
    expect(tables).not.toContain('too_late');
    await runRestore(restoreContext(backup, yugabyte.url('zoo'), { into: { zoo: 'zoo_then' } }));
    expect(await query(server.url('zoo_then'), "SELECT to_regclass('too_late')::text AS found")).toEqual([
      { found: null },
    ]);
  });
});
