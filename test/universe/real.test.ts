import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { dumpEntities, masterWebAddresses, readTablets } from '../../engines/universe/entities.ts';
import { importSnapshot } from '../../engines/universe/yb-admin/import.ts';
import { listNamespaces, listTables } from '../../engines/universe/yb-admin/namespaces.ts';
import { openYbAdmin, type YbAdmin } from '../../engines/universe/yb-admin/program.ts';
import { findRestoration, restoreSnapshot } from '../../engines/universe/yb-admin/restorations.ts';
import {
  createSnapshotSchedule,
  deleteSnapshotSchedule,
  listSnapshotSchedules,
} from '../../engines/universe/yb-admin/schedules.ts';
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
} from '../../engines/universe/yb-admin/topology.ts';
import {
  catalogVersion,
  holdTabletSplitting,
  isLoadBalancerEnabled,
  isTabletSplittingComplete,
} from '../../engines/universe/yb-admin/upkeep.ts';
import { programVersion } from '../../engines/universe/yb-admin/version.ts';
import { findProgram } from '../../engines/ysql/server/programs/find.ts';
import { takesOption } from '../../engines/ysql/server/programs/options.ts';
import { eventually } from '../support/processes.ts';
import { EXTERNAL_SERVER } from '../support/servers.ts';
import { query } from '../support/sql.ts';
import { startUniverse, type Universe } from './launcher.ts';

/*
 * What to ask a universe first (docs/yugabytedb.md): a real one where HOLDFAST_TEST_YB_MASTERS names its masters (and HOLDFAST_TEST_YSQL_URL a superuser),
 * else the simulated one. What the facts leave open is printed, not judged.
 */
const MASTERS = process.env.HOLDFAST_TEST_YB_MASTERS ?? '';
const DATABASE = 'holdfast_first_look';

let simulated: Universe | undefined;
let admin: YbAdmin;
let webAddresses: readonly string[];
let url: (database: string) => string;
const { signal } = new AbortController();

function found(question: string, answer: unknown): void {
  process.stdout.write(`${question}: ${JSON.stringify(answer)}\n`);
}

beforeAll(async () => {
  if (MASTERS === '') {
    simulated = await startUniverse();
    const universe = simulated;
    admin = await openYbAdmin(
      { masters: universe.masters, program: path.join(universe.binDirectory, 'yb-admin') },
      signal,
    );
    webAddresses = universe.masterWebAddresses;
    url = (database) => universe.ysql(database);
    process.env.HOLDFAST_YB_BIN = universe.binDirectory;
  } else {
    const masters = MASTERS.split(',');
    const certsDir = process.env.HOLDFAST_TEST_YB_CERTS;
    admin = await openYbAdmin({ masters, ...(certsDir === undefined ? {} : { certsDir }) }, signal);
    webAddresses = masterWebAddresses(masters);
    url = (database) => {
      const result = new URL(process.env[EXTERNAL_SERVER] ?? 'postgresql://yugabyte@127.0.0.1:5433/yugabyte');
      result.pathname = `/${database}`;
      return result.href;
    };
  }
  await query(url('yugabyte'), `DROP DATABASE IF EXISTS ${DATABASE}`, `CREATE DATABASE ${DATABASE}`);
  await query(
    url(DATABASE),
    'CREATE TABLE t (id bigserial PRIMARY KEY, v text)',
    'CREATE INDEX t_by_v ON t (v)',
    "INSERT INTO t (v) SELECT 'row ' || i FROM generate_series(1, 500) i",
  );
});
afterAll(async () => {
  await query(url('yugabyte'), `DROP DATABASE IF EXISTS ${DATABASE}`);
  await simulated?.stop();
});

test('its topology is understood, from the master and from yb-admin alike', async () => {
  found('yb-admin', await programVersion(admin));
  const masters = await listMasters(admin);
  expect(masters.filter(({ leads }) => leads)).toHaveLength(1);
  const servers = await listTabletServers(admin);
  expect(servers.some(({ status }) => status === 'ALIVE')).toBe(true);
  const namespace = (await listNamespaces(admin)).find(({ name }) => name === DATABASE);
  expect(namespace).toMatchObject({ kind: 'ysql', state: 'RUNNING' });
  const tables = (await listTables(admin)).filter((table) => table.namespace === DATABASE);
  found(
    'how list_tables shows a table of a YSQL schema',
    tables.map(({ name, type }) => `${name} ${type}`),
  );
  const entities = await dumpEntities(webAddresses, signal);
  const table = entities.tables.find(
    ({ name, namespaceId }) => name === 't' && namespaceId === namespace?.id,
  );
  const tablets = await readTablets(admin, webAddresses, new Set([table?.id ?? '']), signal);
  expect(tablets.length).toBeGreaterThan(0);
  for (const { id, replicas } of tablets) {
    const servers = (await listTabletReplicas(admin, id)).map(({ server }) => server);
    expect(servers.toSorted()).toEqual(replicas.map(({ server }) => server).toSorted());
  }
});

test('the balancer and splitting can be asked, and splitting held', async () => {
  found('load balancer on', await isLoadBalancerEnabled(admin));
  found('splitting can be held', await holdTabletSplitting(admin, 1000, 'holdfast'));
  found('no split under way', await isTabletSplittingComplete(admin));
});

test('a snapshot is made, is kept, is exported, gives back what was deleted, is imported, and is deleted', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'holdfast-first-look-'));
  const before = await catalogVersion(admin, DATABASE);
  const id = await createDatabaseSnapshot(admin, DATABASE, { retentionHours: 24 });
  await eventually(
    'the snapshot is complete',
    async () => (await findSnapshot(admin, id))?.state === 'COMPLETE',
  );
  expect(await catalogVersion(admin, DATABASE)).toBe(before);
  const snapshot = (await listSnapshots(admin, { details: true })).find((other) => other.id === id);
  found(
    'objects of a snapshot',
    snapshot?.objects?.map(({ type, name }) => `${type} ${name}`),
  );
  found('hybrid time of a snapshot', (await findSnapshot(admin, id))?.timeMicros);

  const metadata = path.join(folder, 'SnapshotInfoPB');
  await exportSnapshot(admin, id, metadata);
  found('first bytes of the metadata', (await readFile(metadata)).subarray(0, 16).toString('hex'));

  await query(url(DATABASE), 'DELETE FROM t');
  const restoration = await restoreSnapshot(admin, id);
  await eventually(
    'it is restored',
    async () => (await findRestoration(admin, restoration))?.state === 'RESTORED',
  );
  expect(await query(url(DATABASE), 'SELECT count(*)::int AS rows FROM t')).toEqual([{ rows: 500 }]);

  const imported = await importSnapshot(admin, metadata, `ysql.${DATABASE}`, { tables: 2 });
  found(
    'rows of an import',
    imported.tables.map(({ kind, tablets }) => `${kind} with ${tablets.length} tablets`),
  );
  for (const each of [imported.newSnapshot, id]) {
    await deleteSnapshot(admin, each);
    await eventually('it is gone', async () => {
      const state = (await findSnapshot(admin, each))?.state;
      return state === undefined || state === 'DELETED';
    });
  }
  await rm(folder, { recursive: true });
});

test('the dump of a schema', async () => {
  const program = await findProgram('dump', { product: 'yugabytedb', version: 'any', major: 11 });
  for (const option of ['--read-time=1', '--no-statistics', '--dump-role-checks'])
    found(`ysql_dump ${option}`, await takesOption(program, option));
  const args = ['--schema-only', '--include-yb-metadata', `--dbname=${url(DATABASE)}`];
  const { stdout } = await promisify(execFile)(program.path, args, { maxBuffer: 64 * 1024 * 1024 });
  found('ysql_dump --schema-only has setval', stdout.includes('setval('));
  expect(stdout).toContain('CREATE TABLE');
});

test('a snapshot schedule is made, listed, and deleted', async () => {
  const id = await createSnapshotSchedule(admin, `ysql.${DATABASE}`, {
    intervalMs: 60_000,
    retentionMs: 600_000,
  });
  const schedule = (await listSnapshotSchedules(admin)).find((other) => other.id === id);
  expect(schedule).toMatchObject({ intervalMs: 60_000, retentionMs: 600_000, deleted: false });
  found('namespace of a schedule', schedule?.namespace);
  await deleteSnapshotSchedule(admin, id);
  await eventually('it is gone', async () =>
    (await listSnapshotSchedules(admin)).every((other) => other.id !== id || other.deleted),
  );
});
