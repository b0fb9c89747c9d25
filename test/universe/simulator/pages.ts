import { synchronize } from './catalog.ts';
import type { TabletState } from './state.ts';
import { RPC_PORT, TSERVER_WEB_PORT, type World } from './world.ts';

/** `/dump-entities` of the leading master (master-path-handlers.cc; shape from facts, section 6). */
export async function dumpEntities(world: World): Promise<string> {
  await synchronize(world);
  const { namespaces, tables, tablets } = world.state;
  const present = new Set(tables.map(({ id }) => id));
  return JSON.stringify({
    keyspaces: namespaces
      .filter(({ gone }) => !gone)
      .map(({ id, name, kind }) => ({ keyspace_id: id, keyspace_name: name, keyspace_type: kind })),
    tables: tables.map(({ id, namespaceId, name }) => ({
      table_id: id,
      keyspace_id: namespaceId,
      table_name: name,
      state: 'RUNNING',
    })),
    tablets: [
      { table_id: 'sys.catalog.uuid', tablet_id: '00000000000000000000000000000000', state: 'RUNNING' },
      ...tablets
        .filter(({ tableId }) => present.has(tableId) && !world.state.hidden.includes(tableId))
        .map((tablet) => entity(world, tablet)),
    ],
  });
}

function entity(world: World, tablet: TabletState): object {
  const leader = world.leaderOf(tablet);
  return {
    table_id: tablet.tableId,
    tablet_id: tablet.id,
    state: tablet.state,
    replicas: tablet.replicas.map(({ server, role }) => ({
      type: role,
      server_uuid: server,
      addr: `${world.tserver(server).host}:${RPC_PORT}`,
    })),
    ...(leader === undefined ? {} : { leader: leader.uuid }),
  };
}

/** `/api/v1/tablet-servers`; only newer builds name the UUIDs. */
export function tabletServers(world: World): string {
  const servers = world.state.tservers.map(({ uuid, host, alive, dataDirectories }, index) => [
    `${host}:${TSERVER_WEB_PORT}`,
    {
      time_since_hb: alive ? '0.5s' : '87.1s',
      time_since_hb_sec: alive ? 0.5 : 87.1,
      status: alive ? 'ALIVE' : 'DEAD',
      uptime_seconds: 3600,
      ram_used: '31.46 MB',
      ram_used_bytes: 31_457_280,
      num_sst_files: 12,
      total_sst_file_size: '199.74 KB',
      total_sst_file_size_bytes: 204_534,
      uncompressed_sst_file_size: '199.74 KB',
      uncompressed_sst_file_size_bytes: 204_534,
      path_metrics: dataDirectories.map((path) => ({
        path,
        space_used: 204_534,
        total_space_size: 1_000_000_000_000,
      })),
      read_ops_per_sec: 0,
      write_ops_per_sec: 0,
      user_tablets_total: world.state.tablets.length,
      user_tablets_leaders: 0,
      system_tablets_total: 0,
      system_tablets_leaders: 0,
      active_tablets: world.state.tablets.length,
      cloud: 'cloud1',
      region: 'datacenter1',
      zone: `rack${index + 1}`,
      ...(world.profile.wideColumns ? { permanent_uuid: uuid } : {}),
    },
  ]);
  return JSON.stringify({ '': Object.fromEntries(servers) });
}

/** Any HTML page of a tablet server: its footer names the server (`RpcAndWebServerBase::FooterHtml`, server_base.cc). */
export function home(world: World, uuid: string): string {
  return `<html><body><h1>Tablet Server</h1><div class='yb-bottom-spacer'></div><footer class='footer'><pre>version ${world.profile.version}\nserver uuid ${uuid}</pre></footer></body></html>`;
}

/** `/varz?raw=1` of a tablet server. */
export function flags(world: World, uuid: string): string {
  const server = world.tserver(uuid);
  return [
    'Command-line Flags',
    `--fs_data_dirs=${server.dataDirectories.join(',')}`,
    `--rpc_bind_addresses=${server.host}:${RPC_PORT}`,
    `--webserver_interface=${server.host}`,
    `--webserver_port=${TSERVER_WEB_PORT}`,
    '--placement_cloud=cloud1',
    '--placement_region=datacenter1',
    `--placement_zone=rack${world.state.tservers.indexOf(server) + 1}`,
    `--placement_uuid=${server.readReplica ? 'readreplicas' : ''}`,
    '--timestamp_history_retention_interval_sec=900',
    '',
  ].join('\n');
}
