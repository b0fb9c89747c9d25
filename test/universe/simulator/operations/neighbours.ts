import { synchronize } from '../catalog.ts';
import type { NamespaceState, NeighbourState } from '../state.ts';
import { Failure } from '../status.ts';
import { MASTER_RPC_PORT, type World } from '../world.ts';
import type { Call, Operation } from './operation.ts';

/**
 * What else uses a universe: change data capture, xCluster, encryption at rest. The texts follow the format strings of yb-admin_cli.cc (commit 00743dee:
 * `list_xcluster_outbound_replication_groups_action`, `list_universe_replications_action`, `get_universe_replication_info_action`,
 * `get_xcluster_outbound_replication_group_info_action`) and of yb-admin_client.cc (`ListCDCStreams`, `ListCDCSDKStreams`: `CDC Streams: \r\n` and the answer's
 * DebugString; `IsEncryptionEnabled`; `AllMastersHaveUniverseKeyInMemory`). The options in a stream's text come from a transcript of 2022 (docs of yugabyte-db,
 * change data capture, `list_change_data_streams`). It is unconfirmed that newer texts name the namespace.
 */
export const neighbourOperations: readonly Operation[] = [
  {
    name: 'list_cdc_streams',
    usage: '[<table_id>]',
    arity: [0, 1],
    prefix: ([table = '']) => `Unable to list CDC streams for table ${table}`,
    run: async (call) => ({ stdout: await tableStreams(call) }),
  },
  {
    name: 'list_change_data_streams',
    usage: '[<namespace>]',
    arity: [0, 1],
    prefix: ([namespace]) =>
      namespace === undefined
        ? 'Unable to list CDC streams'
        : `Unable to list CDC streams for namespace ${namespace}`,
    run: async (call) => ({ stdout: await namespaceStreams(call) }),
  },
  {
    name: 'list_xcluster_outbound_replication_groups',
    usage: '[namespace_id]',
    arity: [0, 1],
    known: isNew,
    prefix: () => '',
    run: async ({ world, args: [id] }) => ({
      stdout: await groups(world, 'xcluster-source', 'Outbound', id),
    }),
  },
  {
    name: 'list_universe_replications',
    usage: '[namespace_id]',
    arity: [0, 1],
    known: isNew,
    prefix: () => '',
    run: async ({ world, args: [id] }) => ({
      stdout: await groups(world, 'xcluster-target', 'Universe', id),
    }),
  },
  {
    name: 'get_xcluster_outbound_replication_group_info',
    usage: '<replication_group_id>',
    arity: [1, 1],
    known: isNew,
    prefix: () => '',
    run: async ({ world, args: [group = ''] }) => ({ stdout: await outboundInfo(world, group) }),
  },
  {
    name: 'get_universe_replication_info',
    usage: '<replication_group_id>',
    arity: [1, 1],
    known: isNew,
    prefix: () => '',
    run: async ({ world, args: [group = ''] }) => ({ stdout: await inboundInfo(world, group) }),
  },
  {
    name: 'is_encryption_enabled',
    usage: '',
    arity: [0, 0],
    prefix: () => 'Unable to get encryption status',
    run: async ({ world: { state } }) => ({
      stdout: `Encryption status: ${state.encryption === undefined ? 'DISABLED' : `ENABLED with key id ${state.encryption.key}`}\n`,
    }),
  },
  {
    name: 'all_masters_have_universe_key_in_memory',
    usage: '<key_id>',
    arity: [1, 1],
    prefix: () => 'Unable to check whether master has universe key in memory.',
    run: async ({ world, args: [key = ''] }) => ({ stdout: keysInMemory(world, key) }),
  },
];

/** 2.18 has none of these four, and 2024.2's documentation has them. Which release added them is unconfirmed. */
function isNew(world: World): boolean {
  return world.profile.name !== '2.18';
}

const stream = (
  id: string,
  tables: readonly string[],
  idType: string,
  source: string,
  namespace?: string,
) => {
  const options = Object.entries({
    id_type: idType,
    checkpoint_type: 'IMPLICIT',
    source_type: source,
    record_format: source === 'CDCSDK' ? 'PROTO' : 'WAL',
    record_type: 'CHANGE',
    state: 'ACTIVE',
  });
  return `streams {\n  stream_id: "${id}"\n${tables.map((table) => `  table_id: "${table}"\n`).join('')}${options
    .map(([key, value]) => `  options {\n    key: "${key}"\n    value: "${value}"\n  }\n`)
    .join('')}${namespace === undefined ? '' : `  namespace_id: "${namespace}"\n`}}\n`;
};

async function tableStreams({ world }: Call): Promise<string> {
  await synchronize(world);
  const streams = withNamespace(world, 'xcluster-source').flatMap(([neighbour, { id }]) =>
    tablesIn(world, id).map((table, index) =>
      stream(
        `${neighbour.id.slice(0, 24)}${index.toString(16).padStart(8, '0')}`,
        [table],
        'TABLEID',
        'XCLUSTER',
      ),
    ),
  );
  return `CDC Streams: \r\n${streams.join('')}`;
}

async function namespaceStreams({ world }: Call): Promise<string> {
  await synchronize(world);
  const streams = withNamespace(world, 'change-data-stream').map(([neighbour, { id }]) =>
    stream(neighbour.id, tablesIn(world, id), 'NAMESPACEID', 'CDCSDK', isNew(world) ? id : undefined),
  );
  return `CDC Streams: \r\n${streams.join('')}`;
}

/** Prints `1 Outbound Replication Groups found for namespace ID: ` and the names in brackets. */
async function groups(
  world: World,
  kind: NeighbourState['kind'],
  word: string,
  namespace: string | undefined,
): Promise<string> {
  await synchronize(world);
  const found = withNamespace(world, kind)
    .filter(([, { id }]) => namespace === undefined || namespace === '' || id === namespace)
    .map(([{ name }]) => name);
  const names = [...new Set(found)];
  const where = namespace === undefined || namespace === '' ? '' : ` for namespace ${namespace}`;
  return `${names.length} ${word} Replication Groups found${where}: \n[${names.join(', ')}]\n`;
}

async function outboundInfo(world: World, group: string): Promise<string> {
  const members = await membersOf(world, 'xcluster-source', group);
  return `Outbound Replication Group: ${group}\n${members
    .map(
      ([neighbour, { id, name }]) =>
        `\nNamespace ID: ${id}\nNamespace name: ${name}\nTable Id\t\tStream Id\n${tablesIn(world, id)
          .map((table) => `${table}\t\t${neighbour.id}\n`)
          .join('')}`,
    )
    .join('')}`;
}

async function inboundInfo(world: World, group: string): Promise<string> {
  const members = await membersOf(world, 'xcluster-target', group);
  const scoped = members.filter(([, { kind }]) => kind === 'ysql');
  const databases =
    scoped.length === 0
      ? ''
      : `\nDB Scoped info(s):\nNamespace name\t\tTarget Namespace ID\t\tSource Namespace ID\n${scoped
          .map(([{ id: source }, { id, name }]) => `${name}\t\t${id}\t\t${source}\n`)
          .join('')}`;
  const tables = members.flatMap(([neighbour, { id }]) =>
    tablesIn(world, id).map((table) => `${table}\t\t${table}\t\t${neighbour.id}\n`),
  );
  const type = scoped.length === 0 ? 'Non-transactional' : 'YSQL_DB_SCOPED';
  return `Replication Group Id: ${group}\nSource master addresses: 10.1.0.1:7100\nType: ${type}\n${databases}\nTables:\nTarget Table ID\t\tSource Table ID\t\tStreamId\n${tables.join('')}`;
}

function keysInMemory(world: World, key: string): string {
  const { encryption, masters } = world.state;
  return masters
    .map(({ host }) => {
      if (encryption?.key !== key || !encryption.inMemory) {
        throw new Failure(
          'Try again',
          `Node ${host}:${MASTER_RPC_PORT} does not have universe key in memory`,
        );
      }
      return `Node ${host}:${MASTER_RPC_PORT} has universe key in memory: 1\n`;
    })
    .join('');
}

async function membersOf(world: World, kind: NeighbourState['kind'], group: string) {
  await synchronize(world);
  const members = withNamespace(world, kind).filter(([{ name }]) => name === group);
  if (members.length > 0) return members;
  throw new Failure('Not found', `xCluster replication group ${group} not found`);
}

/** Returns the neighbours of a kind, each with the database or keyspace that it uses, without those whose database was dropped. */
function withNamespace(
  { state }: World,
  kind: NeighbourState['kind'],
): readonly (readonly [NeighbourState, NamespaceState])[] {
  return state.neighbours
    .filter((neighbour) => neighbour.kind === kind)
    .flatMap((neighbour) => {
      const namespace = state.namespaces.find(({ id, gone }) => id === neighbour.namespaceId && !gone);
      return namespace === undefined ? [] : [[neighbour, namespace] as const];
    });
}

function tablesIn({ state }: World, namespaceId: string): readonly string[] {
  return state.tables
    .filter((table) => table.namespaceId === namespaceId && table.kind === 'table')
    .map(({ id }) => id);
}
