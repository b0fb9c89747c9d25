import { synchronize, tabletsOf } from '../catalog.ts';
import { hexRange, padded, prettyJson, row, textRange } from '../format.ts';
import type { ReplicaState, TabletState } from '../state.ts';
import { Failure } from '../status.ts';
import { MASTER_RPC_PORT, RPC_PORT, type World } from '../world.ts';
import { type Call, type Operation, resolveTable, usageFailure } from './operation.ts';

export const topologyOperations: readonly Operation[] = [
  {
    name: 'list_all_masters',
    usage: '',
    arity: [0, 0],
    prefix: () => 'Unable to list masters',
    run: async ({ world }) => ({ stdout: masters(world) }),
  },
  {
    name: 'list_all_tablet_servers',
    usage: '[EXCLUDE_DEAD]',
    arity: [0, 1],
    prefix: () => 'Unable to list tablet servers',
    run: async (call) => ({ stdout: tabletServers(call) }),
  },
  {
    name: 'list_tablets',
    usage: '<table> [max_tablets] (default 10, set 0 for max) [JSON] [include_followers]',
    arity: [1, 5],
    prefix: ([first = '', second = '']) =>
      `Unable to list tablets of table ${first.startsWith('tableid.') ? first : `${first}.${second}`}`,
    run: async (call) => ({ stdout: await tablets(call) }),
  },
  {
    name: 'list_tablet_servers',
    usage: '<tablet_id>',
    arity: [1, 1],
    prefix: ([id = '']) => `Unable to list tablet servers of tablet ${id}`,
    run: async ({ world, args: [id = ''] }) => ({ stdout: replicas(world, id) }),
  },
  {
    name: 'list_namespaces',
    usage: '[INCLUDE_NONRUNNING]',
    arity: [0, 1],
    prefix: () => 'Unable to list namespaces',
    run: async ({ world }) => ({ stdout: await namespaces(world) }),
  },
  {
    name: 'list_tables',
    usage: '[include_db_type] [include_table_id] [include_table_type]',
    arity: [0, 3],
    prefix: () => 'Unable to list tables',
    run: async (call) => ({ stdout: await tables(call) }),
  },
];

function masters(world: World): string {
  const wide = world.profile.wideColumns;
  const header = row(
    padded('Master UUID', 32),
    padded('RPC Host/Port', 20),
    padded('State', 8),
    ...(wide ? ['Role', padded('Broadcast Host/Port', 20)] : ['Role']),
  );
  const rows = world.state.masters.map(({ uuid, host, alive, leads }) =>
    row(
      padded(alive ? uuid : 'UNKNOWN_UUID', 32),
      padded(`${host}:${MASTER_RPC_PORT}`, 20),
      padded(alive ? 'ALIVE' : 'UNKNOWN', 8),
      ...(wide
        ? [leads ? 'LEADER' : alive ? 'FOLLOWER' : 'UNKNOWN', padded('N/A', 20)]
        : [leads ? 'LEADER' : alive ? 'FOLLOWER' : 'UNKNOWN']),
    ),
  );
  return header + rows.join('');
}

/** Prints the one table whose columns are separated by a single space. */
function tabletServers({ world, args, excludeDead }: Call): string {
  const dead = excludeDead || args.some((arg) => arg.toUpperCase() === 'EXCLUDE_DEAD');
  const line = (...cells: readonly string[]): string => `${cells.join(' ')}\n`;
  const header = line(
    padded('Tablet Server UUID', 32),
    padded('RPC Host/Port', 20),
    padded('Heartbeat delay', 15),
    padded('Status', 8),
    padded('Reads/s', 8),
    padded('Writes/s', 8),
    padded('Uptime', 8),
    padded('SST total size', 15),
    padded('SST uncomp size', 15),
    padded('SST #files', 15),
    padded('Memory', 8),
    'Broadcast Host/Port',
  );
  const rows = world.state.tservers
    .filter(({ alive }) => alive || !dead)
    .map(({ uuid, host, alive }) =>
      line(
        padded(uuid, 32),
        padded(`${host}:${RPC_PORT}`, 20),
        padded(alive ? '0.53s' : '87.12s', 15),
        padded(alive ? 'ALIVE' : 'DEAD', 8),
        padded('0.00', 8),
        padded('0.00', 8),
        padded('3600', 8),
        padded('199.74 KB', 15),
        padded('199.74 KB', 15),
        padded('12', 15),
        padded('31.46 MB', 8),
        `${host}:${RPC_PORT}`,
      ),
    );
  return header + rows.join('');
}

const address = (world: World, uuid: string): string => `${world.tserver(uuid).host}:${RPC_PORT}`;

async function tablets(call: Call): Promise<string> {
  const { world } = call;
  const { table, rest } = await resolveTable(world, call.args);
  const flags = rest.filter((arg) => !/^\d+$/.test(arg)).map((flag) => flag.toLowerCase());
  const most = Number(rest.find((arg) => /^\d+$/.test(arg)) ?? '10');
  const allowed = world.profile.tabletsAsJson ? ['json', 'include_followers'] : [];
  if (flags.some((flag) => !allowed.includes(flag))) throw usageFailure();
  const all = world.state.hidden.includes(table.id) ? [] : tabletsOf(world, table.parentId ?? table.id);
  const shown = most === 0 ? all : all.slice(0, most);
  const followers = flags.includes('include_followers');
  if (flags.includes('json'))
    return prettyJson({ tablets: shown.map((tablet) => asJson(world, tablet, followers)) });
  const wide = world.profile.wideColumns;
  const header = row(
    padded(wide ? 'Tablet-UUID' : 'Tablet UUID', 32),
    padded('Range', 56),
    padded(wide ? 'Leader-IP' : 'Leader', 15),
    ...(wide ? ['Leader-UUID'] : []),
    ...(followers ? ['Followers'] : []),
  );
  const rows = shown.map((tablet) => {
    const leader = world.leaderOf(tablet);
    return row(
      padded(tablet.id, 32),
      padded(textRange(tablet.start, tablet.end), 56),
      padded(leader === undefined ? '' : address(world, leader.uuid), 15),
      ...(wide ? [leader?.uuid ?? ''] : []),
      ...(followers
        ? [
            followersOf(tablet, leader?.uuid)
              .map(({ server }) => address(world, server))
              .join(','),
          ]
        : []),
    );
  });
  return header + rows.join('');
}

function followersOf(tablet: TabletState, leader: string | undefined): readonly ReplicaState[] {
  return tablet.replicas.filter(({ role, server }) => role === 'VOTER' && server !== leader);
}

function asJson(world: World, tablet: TabletState, followers: boolean): object {
  const leader = world.leaderOf(tablet);
  const peer = (uuid: string, role: string): object => ({ uuid, endpoint: address(world, uuid), role });
  return {
    id: tablet.id,
    partition_key_start: hexRange(tablet.start),
    partition_key_end: hexRange(tablet.end),
    ...(leader === undefined ? {} : { leader: peer(leader.uuid, 'LEADER') }),
    ...(followers
      ? { followers: followersOf(tablet, leader?.uuid).map(({ server }) => peer(server, 'FOLLOWER')) }
      : {}),
  };
}

function replicas(world: World, id: string): string {
  const tablet = world.state.tablets.find((other) => other.id === id);
  if (tablet === undefined || tablet.state === 'REPLACED') {
    throw new Failure('Illegal state', `${id}: Incorrect number of locations 0 for tablet ${id}.`);
  }
  const leader = world.leaderOf(tablet);
  const rows = tablet.replicas.map(({ server, role }) =>
    row(padded(server, 32), padded(address(world, server), 20), roleOf(role, server === leader?.uuid)),
  );
  if (rows.length === 0) return '';
  return row(padded('Server UUID', 32), padded('RPC Host/Port', 20), 'Role') + rows.join('');
}

function roleOf(role: ReplicaState['role'], leads: boolean): string {
  if (role === 'OBSERVER') return 'READ_REPLICA';
  if (role === 'PRE_VOTER') return 'LEARNER';
  return leads ? 'LEADER' : 'FOLLOWER';
}

async function namespaces(world: World): Promise<string> {
  await synchronize(world);
  const rows = world.state.namespaces
    .filter(({ gone }) => !gone)
    .map(({ name, id, kind, colocated }) => `${name} ${id} ${kind} RUNNING ${colocated}\n`);
  return [
    'name | UUID | language | state | colocated\n',
    '\nUser Namespaces:\n',
    ...rows,
    '\nSystem Namespaces:\n',
    'system_schema 00000000000000000000000000000002 ycql RUNNING false\n',
    'system 00000000000000000000000000000001 ycql RUNNING false\n',
  ].join('');
}

async function tables({ world, args }: Call): Promise<string> {
  await synchronize(world);
  const flags = args.map((arg) => arg.toLowerCase());
  const lines = world.state.tables.map(({ id, name, kind, namespaceId }) => {
    const namespace = world.state.namespaces.find((other) => other.id === namespaceId);
    const type = kind === 'parent' ? 'parent_table' : kind;
    return [
      `${flags.includes('include_db_type') ? `${namespace?.kind}.` : ''}${namespace?.name}.${name}`,
      ...(flags.includes('include_table_id') ? [id] : []),
      ...(flags.includes('include_table_type') ? [type] : []),
    ].join(' ');
  });
  return lines
    .sort()
    .map((line) => `${line}\n`)
    .join('');
}
