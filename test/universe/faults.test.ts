import { cpSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { dumpEntities, readTablets } from '../../engines/universe/entities.ts';
import { YB_ADMIN } from '../../engines/universe/yb-admin/errors.ts';
import { importSnapshot } from '../../engines/universe/yb-admin/import.ts';
import { openYbAdmin, type YbAdmin } from '../../engines/universe/yb-admin/program.ts';
import { findRestoration, restoreSnapshot } from '../../engines/universe/yb-admin/restorations.ts';
import {
  createDatabaseSnapshot,
  deleteSnapshot,
  exportSnapshot,
  findSnapshot,
  listSnapshots,
} from '../../engines/universe/yb-admin/snapshots.ts';
import {
  listMasters,
  listTabletReplicas,
  listTabletServers,
  listTablets,
} from '../../engines/universe/yb-admin/topology.ts';
import {
  catalogVersion,
  holdTabletSplitting,
  isLoadBalancerEnabled,
  setLoadBalancer,
} from '../../engines/universe/yb-admin/upkeep.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';
import { digests, placeFiles, snapshotFolders } from './by-hand.ts';
import { startUniverse, type Universe } from './launcher.ts';

let universe: Universe;
let admin: YbAdmin;
const { signal } = new AbortController();

beforeAll(async () => {
  universe = await startUniverse({ tservers: 4 });
  admin = await openYbAdmin(
    { masters: universe.masters, program: path.join(universe.binDirectory, 'yb-admin') },
    signal,
  );
  await query(
    universe.ysql('yugabyte'),
    'CREATE TABLE t (id int PRIMARY KEY, v text)',
    "INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 1000) i",
  );
});
afterAll(() => universe.stop());
beforeEach(() => universe.disarm());

async function snapshotOf(database = 'yugabyte'): Promise<string> {
  const id = await createDatabaseSnapshot(admin, database, { retentionHours: 'keep' });
  await eventually('complete', async () => (await findSnapshot(admin, id))?.state === 'COMPLETE');
  return id;
}

async function endOf(restoration: string): Promise<string> {
  let state = '';
  await eventually('the restoration ends', async () => {
    state = (await findRestoration(admin, restoration))?.state ?? '';
    return state !== 'RESTORING';
  });
  return state;
}

/** The tablets of a snapshot's database with the folder of each replica's snapshot. */
async function foldersOf(snapshot: string): Promise<readonly string[]> {
  const { tablets } = await universe.view();
  return tablets.flatMap(({ replicas }) =>
    replicas.map(({ folder }) => path.join(`${folder}.snapshots`, snapshot)),
  );
}

test('of an unchanged database the second snapshot is made of the same files, of a little change of few others; no two replicas have the same', async () => {
  const files = async (snapshot: string) => {
    const all = await Promise.all(
      (await foldersOf(snapshot)).map(async (folder) => [...(await digests(folder)).entries()]),
    );
    return all.map(
      (entries) => new Set(entries.filter(([name]) => name.includes('.sblock.')).map(([, digest]) => digest)),
    );
  };
  const first = await files(await snapshotOf());
  const again = await files(await snapshotOf());
  expect(again).toEqual(first);
  await query(universe.ysql('yugabyte'), "UPDATE t SET v = 'changed' WHERE id = 7");
  const third = await files(await snapshotOf());
  const changed = third.map(
    (replica, index) => [...replica].filter((digest) => first[index]?.has(digest) !== true).length,
  );
  // One file on each of the three replicas of one tablet.
  expect(changed.toSorted()).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1]);
  const everything = first.flatMap((replica) => [...replica]);
  expect(new Set(everything).size).toBe(everything.length);
});

test('a tablet server without the folder dies, again at each start, and the restoration goes on for ever until the folder is there', async () => {
  const snapshot = await snapshotOf();
  const [victim = ''] = await foldersOf(snapshot);
  const [other = ''] = [...(await snapshotFolders(universe, snapshot)).values()];
  expect(other).not.toBe('');
  const kept = (await digests(victim)).size;
  const { tablets } = await universe.view();
  const server =
    tablets.find(({ replicas }) => victim.startsWith(replicas[0]?.folder ?? '?'))?.replicas[0]?.server ?? '';
  const saved = `${victim}.saved`;
  cpSync(victim, saved, { recursive: true });
  rmSync(victim, { recursive: true });
  const restoration = await restoreSnapshot(admin, snapshot);
  await eventually('it is dead', async () =>
    (await listTabletServers(admin)).some(({ uuid, status }) => uuid === server && status === 'DEAD'),
  );
  expect((await universe.view()).tservers.find(({ uuid }) => uuid === server)?.diedOf).toContain(
    'Snapshot directory does not exist',
  );
  expect(await universe.act({ do: 'startTserver', server })).toMatch(/^died again/);
  renameSync(saved, victim);
  expect((await digests(victim)).size).toBe(kept);
  expect(await universe.act({ do: 'startTserver', server })).toBe('started');
  expect(await endOf(restoration)).toBe('RESTORED');
});

test('a damaged file, and files of another tablet, fail the restoration', async () => {
  const snapshot = await snapshotOf();
  await universe.act({ do: 'damageFile', snapshot });
  expect(await endOf(await restoreSnapshot(admin, snapshot))).toBe('FAILED');
  expect((await universe.view()).restorations.at(-1)?.problem).toMatch(/checksum mismatch/);

  const second = await snapshotOf();
  const file = path.join(universe.directory, 'meta');
  await exportSnapshot(admin, second, file);
  const { tables, newSnapshot } = await importSnapshot(admin, file, 'ysql.yugabyte', { tables: 1 });
  const saved = path.join(universe.directory, 'saved');
  for (const [tablet, folder] of await snapshotFolders(universe, second)) {
    cpSync(folder, path.join(saved, `tablet-${tablet}`), { recursive: true });
  }
  const ids = tables.flatMap(({ tablets }) => tablets);
  const swapped = new Map(ids.map(({ oldId }, index) => [oldId, ids[(index + 1) % ids.length]?.newId ?? '']));
  await placeFiles(universe, saved, swapped, newSnapshot);
  expect(await endOf(await restoreSnapshot(admin, newSnapshot))).toBe('FAILED');
  expect((await universe.view()).restorations.at(-1)?.problem).toMatch(/key bounds/);
});

test('replicas move and take their snapshots along, or not; the balancer moves none while it is off', async () => {
  const snapshot = await snapshotOf();
  const before = (await universe.view()).tablets;
  expect(await universe.act({ do: 'moveReplica', copySnapshots: false })).toMatch(/^moved/);
  const after = (await universe.view()).tablets;
  expect(after).not.toEqual(before);
  const missing = (await foldersOf(snapshot)).filter((folder) => {
    try {
      return readdirSync(folder).length === 0;
    } catch {
      return true;
    }
  });
  expect(missing).toHaveLength(1);

  await setLoadBalancer(admin, false);
  expect(await isLoadBalancerEnabled(admin)).toBe(false);
  await universe.act({ do: 'balance', everyMs: 20 });
  const calls = (await universe.view()).calls;
  expect(calls.set_load_balancer_enabled).toBe(1);
  const still = (await universe.view()).tablets;
  await listTabletServers(admin);
  expect((await universe.view()).tablets).toEqual(still);
  await setLoadBalancer(admin, true);
  await eventually(
    'it moves something',
    async () => JSON.stringify((await universe.view()).tablets) !== JSON.stringify(still),
  );
});

test('tablets change leader, lose it, split unless that is held, and are replaced', async () => {
  const [tableId = ''] = (await universe.view()).tablets.map((tablet) => tablet.tableId);
  const [first] = await listTablets(admin, tableId);
  const leader = first?.replicas.find(({ role }) => role === 'LEADER');
  await universe.act({ do: 'changeLeader', tablet: first?.id ?? '' });
  const replicas = await listTabletReplicas(admin, first?.id ?? '');
  expect(replicas.find(({ role }) => role === 'LEADER')?.server).not.toBe(leader?.server);
  await universe.act({ do: 'loseLeader', tablet: first?.id ?? '', forMs: 60_000 });
  expect((await listTablets(admin, tableId))[0]?.replicas.filter(({ role }) => role === 'LEADER')).toEqual(
    [],
  );
  await universe.act({ do: 'advanceClock', ms: 60_000 });
  expect(
    (await listTablets(admin, tableId))[0]?.replicas.filter(({ role }) => role === 'LEADER'),
  ).toHaveLength(1);

  expect(await holdTabletSplitting(admin, 60_000, 'holdfast')).toBe(true);
  expect(await universe.act({ do: 'splitTablet', tablet: first?.id ?? '' })).toBe('splitting is held');
  await universe.act({ do: 'advanceClock', ms: 60_000 });
  expect(await universe.act({ do: 'splitTablet', tablet: first?.id ?? '' })).toMatch(/^split/);
  expect(await listTablets(admin, tableId)).toHaveLength(4);
  expect(await readTablets(admin, universe.masterWebAddresses, new Set([tableId]), signal)).toHaveLength(4);

  const [victim] = await listTablets(admin, tableId);
  await universe.act({ do: 'replaceTablet', tablet: victim?.id ?? '' });
  await expect(listTabletReplicas(admin, victim?.id ?? '')).rejects.toMatchObject({
    code: YB_ADMIN.busy,
    transient: true,
  });
});

test('without a page of tablets the map comes from yb-admin, and says the same', async () => {
  const [tableId = ''] = (await universe.view()).tablets.map((tablet) => tablet.tableId);
  const tables = new Set([tableId]);
  const byId = (tablets: readonly { readonly id: string }[]) =>
    tablets.toSorted((a, b) => a.id.localeCompare(b.id));
  const fromMaster = await readTablets(admin, universe.masterWebAddresses, tables, signal);
  const fromProgram = await readTablets(admin, [], tables, signal);
  expect(byId(fromProgram)).toEqual(byId(fromMaster));
  await expect(dumpEntities(universe.masterWebAddresses.slice(1), signal)).rejects.toMatchObject({
    code: 'UNIVERSE_NO_ENTITIES',
  });
});

test('DDL changes the catalog version, and data do not', async () => {
  const version = await catalogVersion(admin, 'yugabyte');
  await query(universe.ysql('yugabyte'), "INSERT INTO t VALUES (5000, 'more')");
  expect(await catalogVersion(admin, 'yugabyte')).toBe(version);
  await universe.arm({
    operation: 'create_database_snapshot',
    moment: 'after',
    actions: [{ do: 'sql', database: 'yugabyte', statement: 'ALTER TABLE t ADD COLUMN w int' }],
  });
  await snapshotOf();
  expect(await catalogVersion(admin, 'yugabyte')).not.toBe(version);
});

test('snapshots stay CREATING, fail, expire after their retention, and their deletion may not end', async () => {
  await universe.act({ do: 'snapshots', end: 'never' });
  const stuck = await createDatabaseSnapshot(admin, 'yugabyte', { retentionHours: 1 });
  await universe.act({ do: 'snapshots', end: 'failed' });
  const failed = await createDatabaseSnapshot(admin, 'yugabyte', { retentionHours: 1 });
  await universe.act({ do: 'snapshots', end: 'well' });
  const good = await createDatabaseSnapshot(admin, 'yugabyte', { retentionHours: 1 });
  const kept = await snapshotOf();
  await eventually(
    'all are at their end',
    async () => (await findSnapshot(admin, good))?.state === 'COMPLETE',
  );
  expect((await findSnapshot(admin, stuck))?.state).toBe('CREATING');
  expect((await findSnapshot(admin, failed))?.state).toBe('FAILED');
  await expect(restoreSnapshot(admin, stuck)).rejects.toMatchObject({ code: YB_ADMIN.busy });

  await universe.act({ do: 'advanceClock', ms: 3_600_000 });
  await eventually('it expired', async () => (await findSnapshot(admin, good)) === undefined);
  expect((await findSnapshot(admin, kept))?.state).toBe('COMPLETE');
  await universe.act({ do: 'deletions', end: 'never' });
  await deleteSnapshot(admin, kept);
  await expect(deleteSnapshot(admin, kept)).rejects.toMatchObject({ code: YB_ADMIN.notFound });
  expect((await findSnapshot(admin, kept))?.state).toBe('DELETING');
  await expect(deleteSnapshot(admin, '00000000-0000-4000-8000-000000000000')).rejects.toMatchObject({
    code: YB_ADMIN.notFound,
  });
});

test('an answer that is lost leaves its snapshot behind', async () => {
  const before = (await listSnapshots(admin, { details: false })).length;
  await universe.act({ do: 'loseAnswer', operation: 'create_database_snapshot', times: 1 });
  await expect(createDatabaseSnapshot(admin, 'yugabyte', { retentionHours: 'keep' })).rejects.toMatchObject({
    code: YB_ADMIN.unreachable,
    transient: true,
  });
  expect(await listSnapshots(admin, { details: false })).toHaveLength(before + 1);
});

test('refusals pass; another master leads; without any the universe is out of reach', async () => {
  await universe.act({ do: 'refuse', operation: 'list_snapshots', as: 'leader not ready', times: 1 });
  await expect(listSnapshots(admin, { details: false })).rejects.toMatchObject({
    code: YB_ADMIN.busy,
    transient: true,
  });
  await universe.act({ do: 'refuse', operation: 'list_snapshots', as: 'timed out', times: 1 });
  await expect(listSnapshots(admin, { details: false })).rejects.toMatchObject({ code: YB_ADMIN.timedOut });
  await universe.act({ do: 'stopMaster', master: 'leader' });
  expect((await listMasters(admin)).filter(({ leads }) => leads)).toHaveLength(1);
  await dumpEntities(universe.masterWebAddresses, signal);
  await universe.act({ do: 'stopMaster', master: 'all' });
  await expect(listMasters(admin)).rejects.toMatchObject({ code: YB_ADMIN.unreachable, transient: true });
  await universe.act({ do: 'startMaster', master: 'all' });
  expect(await listMasters(admin)).toHaveLength(3);
});

test('killed while snapshots are under way, everything goes on', async () => {
  const rows = () => query(universe.ysql('yugabyte'), 'SELECT count(*), sum(id) FROM t');
  const before = await rows();
  const done = await snapshotOf();
  await universe.arm({ operation: 'list_snapshots', moment: 'before', actions: [{ do: 'die' }] });
  const begun = await createDatabaseSnapshot(admin, 'yugabyte', { retentionHours: 'keep' });
  await expect(listSnapshots(admin, { details: false })).rejects.toMatchObject({ transient: true });
  await universe.restart();
  await eventually('complete', async () => (await findSnapshot(admin, begun))?.state === 'COMPLETE');
  await query(universe.ysql('yugabyte'), 'DELETE FROM t');
  const restoration = await restoreSnapshot(admin, done);
  await universe.kill9();
  await universe.restart();
  expect(await endOf(restoration)).toBe('RESTORED');
  expect(await rows()).toEqual(before);
});
