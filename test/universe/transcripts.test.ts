import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseImport } from '../../engines/universe/yb-admin/import.ts';
import { parseNamespaces, parseTables } from '../../engines/universe/yb-admin/namespaces.ts';
import { parseEncryption, parseGroups, parseStreams } from '../../engines/universe/yb-admin/neighbours.ts';
import { openYbAdmin } from '../../engines/universe/yb-admin/program.ts';
import { parseRestorations, parseStartedRestoration } from '../../engines/universe/yb-admin/restorations.ts';
import {
  createSnapshotSchedule,
  parseCreatedSchedule,
  parseSchedules,
} from '../../engines/universe/yb-admin/schedules.ts';
import {
  createDatabaseSnapshot,
  findSnapshot,
  parseCreatedSnapshot,
  parseExport,
  parseSnapshotsJson,
  parseSnapshotsText,
} from '../../engines/universe/yb-admin/snapshots.ts';
import {
  listTablets,
  parseMasters,
  parseTabletReplicas,
  parseTabletServers,
  parseTablets,
} from '../../engines/universe/yb-admin/topology.ts';
import {
  catalogVersion,
  parseCatalogVersion,
  parseLoadBalancerState,
  parseSplittingComplete,
} from '../../engines/universe/yb-admin/upkeep.ts';
import { programVersion } from '../../engines/universe/yb-admin/version.ts';
import { eventually } from '../support/processes.ts';
import { query } from '../support/sql.ts';
import { ybAdmin } from './by-hand.ts';
import { golden } from './golden.ts';
import { startUniverse, type Universe } from './launcher.ts';
import type { ProfileName } from './model.ts';

const SOURCES =
  'src/yb/tools/yb-admin_cli.cc (commit 00743dee) and yb-admin_client.cc (commit 6b5e2cdc), composed from their format strings';

/** Ids, addresses and times become names in the order in which they appear; columns keep their width. */
function normalized(text: string, universe: Universe): string {
  const names = new Map<string, string>();
  const named = (kind: string, width: number) => (found: string) => {
    const known = names.get(found);
    if (known !== undefined) return known;
    const count = [...names.values()].filter((name) => name.startsWith(kind)).length + 1;
    const name = `${kind}-${count}`.padEnd(width, '_');
    names.set(found, name);
    return name;
  };
  const network = universe.masters[0]?.replace(/\.\d+:\d+$/, '') ?? '';
  return text
    .replaceAll(universe.directory, 'DIRECTORY')
    .replace(
      new RegExp(`${network.replaceAll('.', '\\.')}\\.(\\d+:\\d+)( *)`, 'g'),
      (found, rest: string, space: string) => {
        const address = `10.0.0.${rest}`;
        return space.length > 1 ? address.padEnd(found.length) : address + space;
      },
    )
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, named('uuid', 36))
    .replace(/\b[0-9a-f]{8}(0000300080000000)([0-9a-f]{8})\b/g, (_, middle: string, table: string) =>
      table === '00000000' ? `DATABASE${middle}${table}` : `DATABASE${middle}${named('TABLE', 8)(table)}`,
    )
    .replace(/\b[0-9a-f]{32}\b/g, named('id', 32))
    .replace(/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d{6}/g, (time) => `2026-11-24${time[10]}10:00:00.000000`)
    .replace(/Version: \d+/g, 'Version: 1');
}

type Reader = (output: string) => unknown;

interface Exchange {
  readonly name: string;
  readonly args: readonly string[];
  /** What reads it where it succeeds. */
  readonly reader: Reader;
  /** Release lines in which it is refused. */
  readonly refusedOn?: readonly ProfileName[];
}

function exchanges(file: string, snapshot: string, schedule: string, tablet: string): readonly Exchange[] {
  const old: readonly ProfileName[] = ['2.18'];
  return [
    { name: 'list-all-masters', args: ['list_all_masters'], reader: parseMasters },
    { name: 'list-all-tablet-servers', args: ['list_all_tablet_servers'], reader: parseTabletServers },
    { name: 'list-namespaces', args: ['list_namespaces'], reader: parseNamespaces },
    {
      name: 'list-tables',
      args: ['list_tables', 'include_db_type', 'include_table_id', 'include_table_type'],
      reader: parseTables,
    },
    {
      name: 'list-tablets',
      args: ['list_tablets', 'ysql.yugabyte', 't', '0'],
      reader: (output) => parseTablets(output, 't'),
    },
    {
      name: 'list-tablets-json',
      args: ['list_tablets', 'ysql.yugabyte', 't', '0', 'JSON', 'include_followers'],
      reader: (output) => parseTablets(output, 't'),
      refusedOn: old,
    },
    { name: 'list-tablet-servers', args: ['list_tablet_servers', tablet], reader: parseTabletReplicas },
    { name: 'ysql-catalog-version', args: ['ysql_catalog_version'], reader: parseCatalogVersion },
    {
      name: 'list-snapshots',
      args: ['list_snapshots'],
      reader: (output) => parseSnapshotsText(output, false),
    },
    {
      name: 'list-snapshots-show-details',
      args: ['list_snapshots', 'SHOW_DETAILS'],
      reader: (output) => parseSnapshotsText(output, true),
    },
    {
      name: 'list-snapshots-json',
      args: ['list_snapshots', 'JSON'],
      reader: parseSnapshotsJson,
      refusedOn: old,
    },
    {
      name: 'create-database-snapshot',
      args: ['create_database_snapshot', 'ysql.yugabyte'],
      reader: (output) => parseCreatedSnapshot('', output),
    },
    {
      name: 'create-keyspace-snapshot',
      args: ['create_keyspace_snapshot', 'k'],
      reader: (output) => parseCreatedSnapshot('', output),
    },
    {
      name: 'create-snapshot',
      args: ['create_snapshot', 'k', 's'],
      reader: (output) => parseCreatedSnapshot('', output),
    },
    { name: 'export-snapshot', args: ['export_snapshot', snapshot, file], reader: parseExport },
    { name: 'import-snapshot', args: ['import_snapshot', file, 'ysql.yugabyte'], reader: parseImport },
    { name: 'restore-snapshot', args: ['restore_snapshot', snapshot], reader: parseStartedRestoration },
    { name: 'list-snapshot-restorations', args: ['list_snapshot_restorations'], reader: parseRestorations },
    { name: 'flush-table', args: ['flush_table', 'ysql.yugabyte', 't'], reader: String },
    { name: 'get-load-balancer-state', args: ['get_load_balancer_state'], reader: parseLoadBalancerState },
    {
      name: 'is-tablet-splitting-complete',
      args: ['is_tablet_splitting_complete'],
      reader: parseSplittingComplete,
    },
    {
      name: 'create-snapshot-schedule',
      args: ['create_snapshot_schedule', '60', '600', 'ycql.k'],
      reader: parseCreatedSchedule,
    },
    { name: 'list-snapshot-schedules', args: ['list_snapshot_schedules', schedule], reader: parseSchedules },
    {
      name: 'no-such-database',
      args: ['create_database_snapshot', 'ysql.nothing'],
      reader: String,
      refusedOn: ['2.18', '2024.2', '2025.2'],
    },
    {
      name: 'no-such-snapshot',
      args: ['restore_snapshot', 'ca8f3763-5437-4594-818d-713fb0cddb96'],
      reader: String,
      refusedOn: ['2.18', '2024.2', '2025.2'],
    },
    {
      name: 'no-such-operation',
      args: ['list_snapshotz'],
      reader: String,
      refusedOn: ['2.18', '2024.2', '2025.2'],
    },
    {
      name: 'wrong-flag',
      args: ['list_snapshots', 'EVERYTHING'],
      reader: String,
      refusedOn: ['2.18', '2024.2', '2025.2'],
    },
    { name: 'delete-snapshot', args: ['delete_snapshot', snapshot], reader: String },
    {
      name: 'list-change-data-streams',
      args: ['list_change_data_streams'],
      reader: (output) => parseStreams('list_change_data_streams', output),
    },
    {
      name: 'list-cdc-streams',
      args: ['list_cdc_streams'],
      reader: (output) => parseStreams('list_cdc_streams', output),
    },
    {
      name: 'list-xcluster-outbound-replication-groups',
      args: ['list_xcluster_outbound_replication_groups'],
      reader: (output) => parseGroups('list_xcluster_outbound_replication_groups', output),
      refusedOn: old,
    },
    {
      name: 'list-universe-replications',
      args: ['list_universe_replications'],
      reader: (output) => parseGroups('list_universe_replications', output),
      refusedOn: old,
    },
    {
      name: 'get-universe-replication-info',
      args: ['get_universe_replication_info', 'in'],
      reader: String,
      refusedOn: old,
    },
    { name: 'is-encryption-enabled', args: ['is_encryption_enabled'], reader: parseEncryption },
    {
      name: 'all-masters-have-universe-key-in-memory',
      args: ['all_masters_have_universe_key_in_memory', 'key-1'],
      reader: String,
      refusedOn: ['2.18', '2024.2', '2025.2'],
    },
  ];
}

describe.each<ProfileName>(['2.18', '2024.2', '2025.2'])('yb-admin of %s', (profile) => {
  let universe: Universe;
  beforeAll(async () => {
    universe = await startUniverse({ profile });
    await query(
      universe.ysql('yugabyte'),
      'CREATE TABLE t (id int PRIMARY KEY, v text)',
      'CREATE INDEX t_by_v ON t (v)',
      "INSERT INTO t VALUES (1, 'one')",
    );
    await query(universe.ycqlStoreUrl, 'CREATE SCHEMA k', 'CREATE TABLE k.s (id int PRIMARY KEY)');
  });
  afterAll(() => universe.stop());

  // `UPDATE_GOLDEN=1` writes them anew, to be read before they are committed.
  test('says what the golden transcripts say, and the driver understands it', async () => {
    const admin = await openYbAdmin(
      { masters: universe.masters, program: path.join(universe.binDirectory, 'yb-admin') },
      AbortSignal.timeout(600_000),
    );
    expect(await programVersion(admin)).toMatch(new RegExp(`^${profile.replace('.', '\\.')}\\.`));
    expect(await catalogVersion(admin, 'yugabyte')).toMatch(/^\d+$/);
    // The retention that old builds don't take is left out for them.
    const snapshot = await createDatabaseSnapshot(admin, 'yugabyte', { retentionHours: 'keep' });
    await eventually('complete', async () => (await findSnapshot(admin, snapshot))?.state === 'COMPLETE');
    const schedule = await createSnapshotSchedule(admin, 'ysql.yugabyte', {
      intervalMs: 3_600_000,
      retentionMs: 36_000_000,
    });
    await eventually('the scheduled one too', async () =>
      (await universe.view()).snapshots.every(({ state }) => state === 'COMPLETE'),
    );
    await universe.act({
      do: 'addNeighbour',
      kind: 'change-data-stream',
      namespace: 'ysql.yugabyte',
      name: 's',
    });
    await universe.act({
      do: 'addNeighbour',
      kind: 'xcluster-source',
      namespace: 'ysql.yugabyte',
      name: 'out',
    });
    await universe.act({
      do: 'addNeighbour',
      kind: 'xcluster-target',
      namespace: 'ysql.yugabyte',
      name: 'in',
    });
    await universe.act({ do: 'encrypt', key: 'key-1', inMemory: false });
    const { tablets } = await universe.view();
    const [tablet] = await listTablets(
      admin,
      tablets.find(({ table }) => table === 'public.t')?.tableId ?? '',
    );
    const file = path.join(universe.directory, 'meta');
    for (const { name, args, reader, refusedOn = [] } of exchanges(
      file,
      snapshot,
      schedule,
      tablet?.id ?? '',
    )) {
      const { code, stdout, stderr } = await ybAdmin(universe, ...args);
      expect({ name, code, stderr }).toEqual({
        name,
        code: refusedOn.includes(profile) ? 1 : 0,
        stderr: code === 0 ? '' : stderr,
      });
      const text = normalized(code === 0 ? stdout : stderr, universe);
      if (process.env.UPDATE_GOLDEN !== undefined) write(profile, name, text);
      expect(text).toBe(golden(profile, name));
      if (code === 0) expect(() => reader(stdout)).not.toThrow();
      if (name === 'restore-snapshot') {
        await eventually('it is restored', async () =>
          (await ybAdmin(universe, 'list_snapshot_restorations')).stdout.includes('RESTORED'),
        );
      }
    }
  });
});

function write(profile: ProfileName, name: string, text: string): void {
  const folder = path.join(import.meta.dirname, 'golden', profile);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, `${name}.txt`), `# Source: yugabyte/yugabyte-db ${SOURCES}\n${text}`);
}
