import path from 'node:path';
import {
  checkNeighbours,
  refuseToBreakOthers,
  rewindLimits,
  type Surroundings,
} from '../../engines/universe/neighbours.ts';
import { placesWithoutNodes } from '../../engines/universe/tablespaces.ts';
import { openYbAdmin } from '../../engines/universe/yb-admin/program.ts';
import { parseConnectionUrl } from '../../engines/ysql/server/connection-url.ts';
import type { Check } from '../../model/check.ts';
import { query } from '../support/sql.ts';
import { startUniverse, type Universe } from './launcher.ts';
import type { ProfileName } from './model.ts';

/** Others in the same universe: what `doctor` says of them, and what is refused so that they aren't broken. */

/** Of these things 2024.2 says what 2025.2 says. */
describe.each<ProfileName>(['2.18', '2025.2'])('others in a universe of %s', (profile) => {
  let universe: Universe;
  let surroundings: Surroundings;
  beforeAll(async () => {
    universe = await startUniverse({ profile });
    await query(universe.ysql('yugabyte'), 'CREATE DATABASE shop', 'CREATE DATABASE other');
    await query(universe.ysql('shop'), 'CREATE TABLE t (id int PRIMARY KEY)');
    await query(universe.ysql('other'), 'CREATE TABLE t (id int PRIMARY KEY)');
    await query(universe.ycqlStoreUrl, 'CREATE SCHEMA k', 'CREATE TABLE k.s (id int PRIMARY KEY)');
    const signal = AbortSignal.timeout(600_000);
    const program = path.join(universe.binDirectory, 'yb-admin');
    surroundings = {
      universe: {
        admin: await openYbAdmin({ masters: universe.masters, program }, signal),
        masterWebAddresses: universe.masterWebAddresses,
      },
      ysql: async () => parseConnectionUrl(universe.ysqlUrl),
      names: [
        { api: 'ysql', name: 'shop' },
        { api: 'ycql', name: 'k' },
      ],
      signal,
    };
  });
  afterEach(async () => {
    await universe.act({ do: 'removeNeighbours' });
    await universe.act({ do: 'endEncryption' });
  });
  afterAll(() => universe.stop());

  const named = async (name: string): Promise<Check | undefined> =>
    (await checkNeighbours(surroundings)).find((check) => check.name === name);
  const refusal = (way: 'replace' | 'rewind') => refuseToBreakOthers(way, surroundings);

  test('there are none, or they use other databases: nothing is refused', async () => {
    for (const kind of ['change-data-stream', 'xcluster-source', 'xcluster-target'] as const) {
      // 2.18 doesn't tell which databases xCluster writes to.
      if (profile === '2.18' && kind === 'xcluster-target') continue;
      await universe.act({ do: 'addNeighbour', kind, namespace: 'ysql.other', name: 'theirs' });
    }
    const checks = await checkNeighbours(surroundings);
    expect(checks.map(({ ok, detail }) => `${ok} ${detail}`)).toEqual(
      checks.map(() => 'true nothing to mind'),
    );
    await expect(refusal('replace')).resolves.toEqual([]);
    await expect(refusal('rewind')).resolves.toEqual([]);
    await expect(rewindLimits(surroundings)).resolves.toEqual([]);
  });

  test.each(['ysql.shop', 'ycql.k'])(
    'a stream of changes of %s is named, and not broken',
    async (namespace) => {
      const id = await universe.act({ do: 'addNeighbour', kind: 'change-data-stream', namespace, name: 's' });
      const detail = (await named('change data capture'))?.detail ?? '';
      expect(detail).toContain(namespace.slice(5));
      expect(detail).toMatch(/12773/);
      expect(detail).toContain(String(id));
      for (const way of ['replace', 'rewind'] as const) {
        await expect(refusal(way)).rejects.toMatchObject({
          code: 'OVERWRITE_BREAKS_OTHERS',
          transient: false,
          remedy: expect.stringMatching(/delete_change_data_stream.*--into.*--break-others/s),
        });
        await expect(refuseToBreakOthers(way, surroundings, true)).resolves.toEqual([
          expect.stringMatching(/^broken, as asked for: .*12773.*delete_change_data_stream/s),
        ]);
      }
      await expect(rewindLimits(surroundings)).resolves.toMatchObject([
        { ways: ['rewind'], breaksOthers: true },
      ]);
    },
  );

  test.each(['ysql.shop', 'ycql.k'])(
    'xCluster that sends %s elsewhere is named, and not broken',
    async (namespace) => {
      await universe.act({ do: 'addNeighbour', kind: 'xcluster-source', namespace, name: 'to-standby' });
      const found = await named('xCluster replication');
      expect(found).toMatchObject({ ok: true, detail: expect.stringMatching(/sends .*15002/s) });
      if (profile !== '2.18') expect(found?.detail).toContain('to-standby');
      await expect(refusal('replace')).rejects.toMatchObject({ code: 'OVERWRITE_BREAKS_OTHERS' });
      await expect(refusal('rewind')).rejects.toMatchObject({ code: 'OVERWRITE_BREAKS_OTHERS' });
    },
  );

  test('xCluster that writes into a database makes its backups doubtful, and is not broken', async () => {
    await universe.act({
      ...{ do: 'addNeighbour', kind: 'xcluster-target' },
      ...{ namespace: 'ysql.shop', name: 'from-primary' },
    });
    await expect(named('xCluster replication')).resolves.toMatchObject({
      ok: false,
      detail: expect.stringMatching(/from-primary writes into .*27566/s),
    });
    await expect(refusal('replace')).rejects.toMatchObject({ code: 'OVERWRITE_BREAKS_OTHERS' });
  });

  test('a replication slot of the database is named, one of another is not', async () => {
    await query(
      universe.ysql('shop'),
      "SELECT pg_create_logical_replication_slot('reader', 'test_decoding')",
    );
    try {
      await expect(named('change data capture')).resolves.toMatchObject({
        ok: true,
        detail: expect.stringContaining('replication slot reader of database shop'),
      });
      await expect(refusal('replace')).rejects.toMatchObject({
        message: expect.stringContaining('slot reader'),
        remedy: expect.stringContaining('pg_drop_replication_slot'),
      });
      const others = { ...surroundings, names: [{ api: 'ysql' as const, name: 'other' }] };
      await expect(refuseToBreakOthers('replace', others)).resolves.toEqual([]);
    } finally {
      await query(universe.ysql('shop'), "SELECT pg_drop_replication_slot('reader')");
    }
  });

  test('a snapshot schedule that somebody has made is named, and keeps nothing from being done', async () => {
    const { admin } = surroundings.universe;
    const { createSnapshotSchedule, deleteSnapshotSchedule } = await import(
      '../../engines/universe/yb-admin/schedules.ts'
    );
    const id = await createSnapshotSchedule(admin, 'ysql.shop', {
      intervalMs: 3_600_000,
      retentionMs: 36_000_000,
    });
    try {
      const seen = async () => (await named('snapshot schedules, also of others'))?.detail ?? '';
      // Old builds tell whose a schedule is by its first snapshot.
      const deadline = Date.now() + 20_000;
      while (!(await seen()).includes(id) && Date.now() < deadline)
        await new Promise((go) => setTimeout(go, 200));
      expect(await seen()).toContain(`${id} of ysql.shop`);
      await expect(refusal('replace')).resolves.toEqual([]);
    } finally {
      await deleteSnapshotSchedule(admin, id);
    }
  });

  test('encrypted files: the key that masters have is named, one that they lost is an error', async () => {
    await universe.act({ do: 'encrypt', key: 'key-7', inMemory: true });
    await expect(named('encryption at rest has its key')).resolves.toMatchObject({
      ok: true,
      detail: expect.stringContaining('key-7'),
    });
    await expect(refusal('replace')).resolves.toEqual([]);
    await universe.act({ do: 'encrypt', key: 'key-7', inMemory: false });
    await expect(named('encryption at rest has its key')).resolves.toMatchObject({
      ok: false,
      remedy: expect.stringContaining('add_universe_key_to_all_masters key-7'),
    });
    await expect(refusal('rewind')).rejects.toMatchObject({ code: 'OVERWRITE_BREAKS_OTHERS' });
    // That is nobody's to accept: the restore itself could not end well.
    await expect(refuseToBreakOthers('rewind', surroundings, true)).rejects.toMatchObject({
      code: 'OVERWRITE_BREAKS_OTHERS',
      remedy: expect.not.stringContaining('--break-others'),
    });
  });

  // What PostgreSQL 11 has for the tests is a folder, and a tablespace of YugabyteDB is none.
  const withTablespaces = profile === '2.18' ? test.skip : test;
  withTablespaces(
    'a tablespace whose nodes are gone is an error, and nothing is put in the place of its tables',
    async () => {
      const [node] = await query(universe.ysql('yugabyte'), 'SELECT cloud, region, zone FROM yb_servers()');
      const placement = (zone: string) =>
        JSON.stringify({
          num_replicas: 1,
          placement_blocks: [{ ...node, zone, min_num_replicas: 1 }],
        });
      // PostgreSQL takes no such option, so it is put where YugabyteDB would keep it.
      const put = (zone: string) =>
        query(
          universe.ysql('yugabyte'),
          `UPDATE pg_tablespace SET spcoptions = ARRAY['replica_placement=${placement(zone)}'] WHERE spcname = 'far'`,
        );
      await query(
        universe.ysql('yugabyte'),
        'SET allow_in_place_tablespaces = on',
        "CREATE TABLESPACE far LOCATION ''",
      );
      try {
        await put(String(node?.zone));
        await expect(named('tablespaces have nodes')).resolves.toMatchObject({ ok: true });
        await put('burnt-down');
        await expect(named('tablespaces have nodes')).resolves.toMatchObject({
          ok: false,
          detail: expect.stringContaining('burnt-down'),
        });
        await expect(refusal('replace')).rejects.toMatchObject({ code: 'OVERWRITE_BREAKS_OTHERS' });
      } finally {
        await query(universe.ysql('yugabyte'), 'DROP TABLESPACE far');
      }
    },
  );
});

test('read replicas are named', async () => {
  const universe = await startUniverse({ readReplicas: 1 });
  try {
    const program = path.join(universe.binDirectory, 'yb-admin');
    const signal = AbortSignal.timeout(600_000);
    const checks = await checkNeighbours({
      universe: {
        admin: await openYbAdmin({ masters: universe.masters, program }, signal),
        masterWebAddresses: universe.masterWebAddresses,
      },
      ysql: async () => parseConnectionUrl(universe.ysqlUrl),
      names: [{ api: 'ysql', name: 'yugabyte' }],
      signal,
    });
    expect(checks.find(({ name }) => name === 'read replicas')).toMatchObject({
      ok: true,
      detail: expect.stringContaining('a rewind is not supported'),
    });
  } finally {
    await universe.stop();
  }
});

test('places without nodes: any zone is as good where the tablespace says so, and what can not be read is told', () => {
  const nodes = [{ cloud: 'c', region: 'r', zone: 'z1' }];
  const of = (...blocks: readonly object[]) => [
    `replica_placement=${JSON.stringify({ num_replicas: 1, placement_blocks: blocks })}`,
  ];
  expect(placesWithoutNodes(of({ cloud: 'c', region: 'r', zone: 'z1' }), nodes)).toEqual([]);
  expect(placesWithoutNodes(of({ cloud: 'c', region: 'r', zone: '*' }), nodes)).toEqual([]);
  expect(placesWithoutNodes(of({ cloud: 'c', region: 'r', zone: 'z2' }), nodes)).toEqual(['c.r.z2']);
  expect(placesWithoutNodes(of({ cloud: 'c', region: 'r', zone: 'z2', min_num_replicas: 0 }), nodes)).toEqual(
    [],
  );
  expect(placesWithoutNodes(['replica_placement={'], nodes)).toEqual([
    expect.stringContaining('replica_placement={'),
  ]);
  expect(placesWithoutNodes(null, nodes)).toEqual([]);
  expect(placesWithoutNodes(['seq_page_cost=1'], nodes)).toEqual([]);
});
