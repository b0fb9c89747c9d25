import { nameServersOf } from '../../proxy/install.ts';
import type { World } from './world.ts';
import { newId, YSQL_PORT } from './world.ts';

/**
 * Has `yb_servers()` answer with the tablet servers that are alive, as YSQL does (`func_yb_servers.md`); or with one of `another` universe's, as where the
 * plan's address leads there.
 */
export async function nameServers(world: World, another = false): Promise<void> {
  const own = world.state.tservers
    .filter(({ alive }) => alive)
    .map(({ uuid, host, readReplica }) => ({ uuid, host, type: readReplica ? 'read_replica' : 'primary' }));
  const servers = another ? [{ uuid: newId(), host: '127.250.0.1', type: 'primary' }] : own;
  const listed = servers.map(({ uuid, host, type }) => ({ uuid, host, port: YSQL_PORT, node_type: type }));
  await world.connected('postgres', (client) => nameServersOf(client, listed));
}
