import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseImport } from '../../engines/universe/yb-admin/import.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';
import { mapping, placeFiles, program, said, snapshotFolders, ybAdmin } from './by-hand.ts';
import { startUniverse, type Universe } from './launcher.ts';
import type { ProfileName } from './model.ts';

/** PostgreSQL 11, from which the lines up to 2024.2 are made, has no generated columns. */
const fillOf = (profile: ProfileName): readonly string[] => [
  "CREATE TYPE mood AS ENUM ('sad', 'ok')",
  `CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, mood mood${profile === '2025.2' ? ', doubled bigint GENERATED ALWAYS AS (id * 2) STORED' : ''})`,
  'CREATE TABLE orders (id bigserial PRIMARY KEY, customer bigint REFERENCES customers, note text, at timestamptz DEFAULT now())',
  'CREATE INDEX orders_by_customer ON orders (customer) WHERE note IS NOT NULL',
  'CREATE TABLE log (line text)',
  "INSERT INTO customers SELECT i, E'na\\tme\\n' || i, (ARRAY['sad', 'ok', NULL]::mood[])[1 + i % 3] FROM generate_series(1, 300) i",
  "INSERT INTO orders (customer, note) SELECT 1 + i % 300, CASE WHEN i % 5 > 0 THEN 'note \\ ' || i END FROM generate_series(1, 900) i",
  "INSERT INTO log SELECT 'line ' || i % 7 FROM generate_series(1, 50) i",
];
const CONTENTS = `SELECT (SELECT count(*) FROM orders) AS orders, (SELECT md5(string_agg(c::text, '|' ORDER BY id)) FROM customers c) AS customers,
  (SELECT md5(string_agg(o::text, '|' ORDER BY id)) FROM orders o) AS all_orders, (SELECT md5(string_agg(line, '|' ORDER BY line)) FROM log) AS log`;

let universe: Universe;

async function complete(snapshot: string): Promise<void> {
  await eventually(`snapshot ${snapshot} is complete`, async () =>
    (await said(universe, 'list_snapshots')).includes(`${snapshot} \tCOMPLETE`),
  );
}

async function save(snapshot: string, into: string): Promise<void> {
  await mkdir(into, { recursive: true });
  for (const [tablet, folder] of await snapshotFolders(universe, snapshot)) {
    await cp(folder, path.join(into, `tablet-${tablet}`), { recursive: true });
  }
}

function idIn(output: string): string {
  return /: ([0-9a-f-]{36})\n$/.exec(output)?.[1] ?? '';
}

async function restored(restoration: string): Promise<string> {
  let state = 'RESTORING';
  await eventually('the restoration ends', async () => {
    const { restorations } = JSON.parse(await said(universe, 'list_snapshot_restorations')) as {
      restorations: { id: string; state: string }[];
    };
    state = restorations.find(({ id }) => id === restoration)?.state ?? '';
    return state !== 'RESTORING';
  });
  return state;
}

describe.each<ProfileName>(['2.18', '2024.2', '2025.2'])(
  'the manual cycle of the documentation on %s',
  (profile) => {
    beforeAll(async () => {
      universe = await startUniverse({
        profile,
        readReplicas: profile === '2025.2' ? 1 : 0,
        tservers: profile === '2024.2' ? 4 : 3,
      });
    });
    afterAll(() => universe.stop());

    test('a YSQL database: rows come back from the tablet files into another database', async () => {
      await query(universe.ysql('yugabyte'), 'CREATE DATABASE shop');
      await query(universe.ysql('shop'), ...fillOf(profile));
      const contents = await query(universe.ysql('shop'), CONTENTS);
      const before = await said(universe, 'ysql_catalog_version', ...(profile === '2.18' ? [] : ['shop']));

      const snapshot = idIn(await said(universe, 'create_database_snapshot', 'ysql.shop'));
      await complete(snapshot);
      const folder = path.join(universe.directory, 'saved');
      await save(snapshot, folder);
      const { stdout: schema } = await program(universe, 'ysql_dump', [
        '--include-yb-metadata',
        '--serializable-deferrable',
        '--schema-only',
        `--masters=${universe.masters.join(',')}`,
        `--dbname=${universe.ysql('shop')}`,
      ]);
      expect(await said(universe, 'ysql_catalog_version', ...(profile === '2.18' ? [] : ['shop']))).toBe(
        before,
      );
      await said(universe, 'export_snapshot', snapshot, path.join(folder, 'SnapshotInfoPB'));
      await said(universe, 'delete_snapshot', snapshot);
      await query(universe.ysql('shop'), 'DELETE FROM orders', 'DELETE FROM customers', 'DELETE FROM log');

      await query(universe.ysql('yugabyte'), 'CREATE DATABASE shop_again');
      const script = path.join(folder, 'schema.sql');
      await writeFile(script, schema);
      expect((await program(universe, 'ysqlsh', [universe.ysql('shop_again'), '-f', script])).code).toBe(0);
      const imported = mapping(
        await said(universe, 'import_snapshot', path.join(folder, 'SnapshotInfoPB'), 'ysql.shop_again'),
      );
      expect(imported.tablets.size).toBe(4 * 3);
      await placeFiles(universe, folder, imported.tablets, imported.snapshot);
      const started = await said(universe, 'restore_snapshot', imported.snapshot);
      expect(await restored(/Restoration id: (\S+)/.exec(started)?.[1] ?? '')).toBe('RESTORED');
      expect(await query(universe.ysql('shop_again'), CONTENTS)).toEqual(contents);
      await said(universe, 'delete_snapshot', imported.snapshot);
      await rm(folder, { recursive: true });
    });

    test('a YCQL keyspace: its tables are made by the import', async () => {
      await query(
        universe.ycqlStoreUrl,
        'CREATE SCHEMA metrics',
        'CREATE TABLE metrics.samples (host text, at int, value float8, PRIMARY KEY (host, at))',
        'CREATE INDEX samples_by_value ON metrics.samples (value)',
        "INSERT INTO metrics.samples SELECT 'host' || i % 5, i, i / 7.0 FROM generate_series(1, 200) i",
      );
      const snapshot = idIn(await said(universe, 'create_keyspace_snapshot', 'ycql.metrics'));
      await complete(snapshot);
      const folder = path.join(universe.directory, 'saved-ycql');
      await save(snapshot, folder);
      await said(universe, 'export_snapshot', snapshot, path.join(folder, 'SnapshotInfoPB'));
      const imported = mapping(
        await said(universe, 'import_snapshot', path.join(folder, 'SnapshotInfoPB'), 'metrics_again'),
      );
      await placeFiles(universe, folder, imported.tablets, imported.snapshot);
      const started = await said(universe, 'restore_snapshot', imported.snapshot);
      expect(await restored(/Restoration id: (\S+)/.exec(started)?.[1] ?? '')).toBe('RESTORED');
      const all = (keyspace: string) =>
        query(universe.ycqlStoreUrl, `SELECT * FROM ${keyspace}.samples ORDER BY host, at`);
      expect(await all('metrics_again')).toEqual(await all('metrics'));
    });

    test('a colocated database: all its tables are in the one tablet of their parent', async () => {
      const make = async (name: string) => {
        await query(
          universe.ysql('yugabyte'),
          `CREATE DATABASE ${name}`,
          `ALTER DATABASE ${name} SET yb.colocated = 'true'`,
        );
        await query(
          universe.ysql(name),
          'CREATE TABLE a (id int PRIMARY KEY, v text)',
          'CREATE TABLE b (id int)',
        );
      };
      await make('together');
      await query(
        universe.ysql('together'),
        "INSERT INTO a VALUES (1, 'one'), (2, 'two')",
        'INSERT INTO b VALUES (3), (4)',
      );
      const snapshot = idIn(await said(universe, 'create_database_snapshot', 'ysql.together'));
      await complete(snapshot);
      const folder = path.join(universe.directory, 'saved-colocated');
      await save(snapshot, folder);
      await said(universe, 'export_snapshot', snapshot, path.join(folder, 'SnapshotInfoPB'));
      await make('together_again');
      const output = await said(
        universe,
        'import_snapshot',
        path.join(folder, 'SnapshotInfoPB'),
        'ysql.together_again',
      );
      const parsed = parseImport(output);
      expect(parsed.tables.map(({ kind, tablets }) => `${kind}: ${tablets.length}`).sort()).toEqual([
        'colocated-parent: 1',
        'colocated: 0',
        'colocated: 0',
      ]);
      const imported = mapping(output);
      await placeFiles(universe, folder, imported.tablets, imported.snapshot);
      const started = await said(universe, 'restore_snapshot', imported.snapshot);
      expect(await restored(/Restoration id: (\S+)/.exec(started)?.[1] ?? '')).toBe('RESTORED');
      const all = async (name: string) => [
        await query(universe.ysql(name), 'SELECT * FROM a ORDER BY id'),
        await query(universe.ysql(name), 'SELECT * FROM b ORDER BY id'),
      ];
      expect(await all('together_again')).toEqual(await all('together'));
    });

    test('an empty database cannot be snapshotted', async () => {
      await query(universe.ysql('yugabyte'), 'CREATE DATABASE nothing_here');
      const { code, stderr } = await ybAdmin(universe, 'create_database_snapshot', 'ysql.nothing_here');
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr: expect.stringContaining('No tables found in namespace: nothing_here'),
      });
    });
  },
);
