import { flush, tablesOf } from '../catalog.ts';
import { padded, row } from '../format.ts';
import type { State, TableState } from '../state.ts';
import { MASTER_RPC_PORT, type World } from '../world.ts';
import { type Call, type Operation, resolveNamespace, resolveTable, usageFailure } from './operation.ts';

export const upkeepOperations: readonly Operation[] = [
  {
    name: 'ysql_catalog_version',
    usage: '[[ysql.]<database_name>]',
    arity: [0, 1],
    prefix: () => 'Unable to get catalog version',
    run: async (call) => ({ stdout: `Version: ${await catalogVersion(call)}\n` }),
  },
  {
    name: 'flush_table',
    usage: '<table> [<timeout_in_seconds>] (default 20) [ADD_INDEXES] (default false)',
    arity: [1, 5],
    prefix: ([first = '', second = '']) =>
      `Unable to flush table ${first}${first.startsWith('tableid.') ? '' : `.${second}`}`,
    run: async (call) => ({ stdout: await flushTable(call.world, call.args) }),
  },
  {
    name: 'flush_table_by_id',
    usage: '<table_id> [<timeout_in_seconds>] (default 20) [ADD_INDEXES] (default false)',
    arity: [1, 3],
    prefix: ([id = '']) => `Unable to flush table ${id}`,
    run: async ({ world, args: [id = '', ...rest] }) => ({
      stdout: await flushTable(world, [`tableid.${id}`, ...rest]),
    }),
  },
  {
    name: 'set_load_balancer_enabled',
    usage: '(0|1)',
    arity: [1, 1],
    prefix: () => 'Unable to change load balancer state',
    run: async ({ world, args: [enabled] }) => {
      if (enabled !== '0' && enabled !== '1') throw usageFailure();
      world.state.loadBalancerEnabled = enabled === '1';
      return { stdout: '' };
    },
  },
  {
    name: 'get_load_balancer_state',
    usage: '',
    arity: [0, 0],
    prefix: () => 'Unable to get the load balancer state',
    run: async ({ world }) => ({ stdout: balancerState(world) }),
  },
  {
    name: 'get_is_load_balancer_idle',
    usage: '',
    arity: [0, 0],
    prefix: () => 'Unable to get the load balancer idle state',
    run: async ({ world }) => ({
      stdout: `Idle = ${world.state.loadBalancerEnabled && world.state.balance.everyMs > 0 ? 0 : 1}\n`,
    }),
  },
  {
    name: 'disable_tablet_splitting',
    usage: '<disable_duration_ms> <feature_name>',
    arity: [2, 2],
    prefix: () => 'Unable to disable tablet splitting',
    run: async ({ world, args: [duration = '', feature = ''] }) => {
      if (!/^\d+$/.test(duration)) throw usageFailure();
      if (duration === '0') delete world.state.splittingHolds[feature];
      else world.state.splittingHolds[feature] = world.now() + Number(duration);
      return { stdout: 'Response: \n' };
    },
  },
  {
    name: 'is_tablet_splitting_complete',
    usage: '[wait_for_parent_deletion]',
    arity: [0, 1],
    prefix: () => 'Unable to check if tablet splitting is complete',
    run: async () => ({ stdout: 'Response: is_tablet_splitting_complete: true\n\n' }),
  },
  {
    name: 'get_universe_config',
    usage: '',
    arity: [0, 0],
    prefix: () => 'Unable to get universe config',
    run: async ({ world: { state } }) => {
      const { replicationFactor, readReplicas } = state.config;
      const replicationInfo = {
        liveReplicas: { numReplicas: replicationFactor },
        ...(readReplicas === 0
          ? {}
          : { readReplicas: [{ numReplicas: Math.min(replicationFactor, readReplicas) }] }),
      };
      return {
        stdout: `${JSON.stringify({ version: 1, replicationInfo, ...inConfig(state), clusterUuid: state.clusterUuid })}\n`,
      };
    },
  },
];

/** Returns encryption at rest, and xCluster's inbound groups, as in `SysClusterConfigEntryPB` (catalog_entity_info.proto) as JSON. */
function inConfig({ encryption, neighbours }: State) {
  const inbound = neighbours.filter(({ kind }) => kind === 'xcluster-target');
  return {
    ...(encryption === undefined
      ? {}
      : {
          encryptionInfo: {
            encryptionEnabled: true,
            latestVersionId: encryption.key,
            keyInMemory: encryption.inMemory,
          },
        }),
    ...(inbound.length === 0
      ? {}
      : { consumerRegistry: { producerMap: Object.fromEntries(inbound.map(({ name }) => [name, {}])) } }),
  };
}

async function catalogVersion({ world, args: [name] }: Call): Promise<string> {
  if (name !== undefined && !world.profile.catalogVersionByDatabase) throw usageFailure();
  await resolveNamespace(world, 'ysql.postgres');
  const databases =
    name === undefined
      ? world.state.namespaces.filter(({ kind, gone }) => kind === 'ysql' && !gone)
      : [await resolveNamespace(world, name.startsWith('ysql.') ? name : `ysql.${name}`)];
  let sum = 0n;
  for (const database of databases) {
    await world.connected(database.name, async (client) => {
      const { rows } = await client.query<{ version: string }>(
        'SELECT yb_catalog_version()::text AS version',
      );
      sum += BigInt(rows[0]?.version ?? '0');
    });
  }
  return String(sum);
}

async function flushTable(world: World, args: readonly string[]): Promise<string> {
  const { table, rest } = await resolveTable(world, args);
  const indexes = rest.some((arg) => arg.toUpperCase() === 'ADD_INDEXES');
  const namespace = world.state.namespaces.find(({ id }) => id === table.namespaceId);
  if (namespace === undefined) throw new Error(`no namespace ${table.namespaceId}`);
  await flush(world, namespace, together(world, table, indexes));
  return `Flushed [${namespace.name}.${table.name}] tables${indexes ? ' and associated indexes' : ''}.\n`;
}

/** Returns the tables to flush: those that share a tablet are flushed together. */
function together(world: World, table: TableState, indexes: boolean): readonly TableState[] {
  const namespace = world.state.namespaces.find(({ id }) => id === table.namespaceId);
  const all = namespace === undefined ? [] : tablesOf(world, namespace);
  const parent = table.kind === 'parent' ? table.id : table.parentId;
  if (parent !== undefined) return all.filter((other) => other.id === parent || other.parentId === parent);
  return all.filter((other) => other === table || (indexes && other.indexedTableId === table.id));
}

function balancerState(world: World): string {
  const rows = world.state.masters.map(({ uuid, host, leads, alive }) =>
    row(
      padded(uuid, 32),
      padded(`${host}:${MASTER_RPC_PORT}`, 20),
      padded(alive ? 'ALIVE' : 'UNKNOWN', 8),
      padded(leads ? 'LEADER' : 'FOLLOWER', 10),
      world.state.loadBalancerEnabled ? 'ENABLED' : 'DISABLED',
    ),
  );
  const header = row(
    padded('Master UUID', 32),
    padded('RPC Host/Port', 20),
    padded('State', 8),
    padded('Role', 10),
    'Load Balancer State',
  );
  return header + rows.join('');
}
