/**
 * The simulated universe as a process of its own: `node test/universe/main.ts --directory DIR [--config JSON]`. What is in DIR it goes on with;
 * it may be killed at any moment. Once it listens it prints one line of JSON (`UniverseInfo`).
 */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Client } from 'pg';
import { freePort } from '../../parts/ports.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { CLIENT_LINES } from '../proxy/client-lines.ts';
import { installDialect } from '../proxy/install.ts';
import { startYsqlProxy } from '../proxy/proxy.ts';
import type { Action, Trigger, UniverseConfig, UniverseInfo } from './model.ts';
import { writePrograms } from './programs.ts';
import { act } from './simulator/actions.ts';
import { ageEverything } from './simulator/aging.ts';
import { hideHistory } from './simulator/history.ts';
import { formatDirectories } from './simulator/instances.ts';
import { bodyOf, Nodes } from './simulator/nodes.ts';
import { YCQL_STORE } from './simulator/rows.ts';
import { loadState, type State, saveState } from './simulator/state.ts';
import { view } from './simulator/view.ts';
import {
  MASTER_RPC_PORT,
  MASTER_WEB_PORT,
  newId,
  newUuid,
  RPC_PORT,
  TSERVER_WEB_PORT,
  World,
} from './simulator/world.ts';

const AGE_EVERY_MS = 50;

const { values } = parseArgs({ options: { directory: { type: 'string' }, config: { type: 'string' } } });
if (values.directory === undefined) {
  process.stderr.write('usage: main.ts --directory DIR --config JSON\n');
  process.exit(2);
}
const directory = values.directory;
// From the first moment, so that nothing which is being started stays behind.
const ending = Promise.withResolvers<void>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.resolve());
const state = loadState(directory) ?? (await newState(JSON.parse(values.config ?? '{}') as UniverseConfig));
let info: UniverseInfo | undefined;
const control = createServer((request, response) => {
  serveControl(request.url ?? '', request)
    .then((answer) => response.writeHead(200).end(JSON.stringify(answer ?? null)))
    .catch((error: unknown) =>
      response.writeHead(400).end(error instanceof Error ? error.message : String(error)),
    );
});
// A test that is slow to call again must not meet a connection in the moment that it is closed for being idle.
control.keepAliveTimeout = 0;
// At once, so that nobody else takes the port while the parts start.
control.listen(state.controlPort, '127.0.0.1');
await once(control, 'listening');
const postgres = await startPostgres({
  directory: join(directory, 'postgres'),
  port: state.postgresPort,
  version: CLIENT_LINES[state.config.profile].major,
  settings: {
    ...{ wal_level: 'logical', max_replication_slots: '30', max_wal_senders: '10' },
    allow_system_table_mods: 'on',
    // All nodes of the universe share them.
    max_connections: '400',
  },
});
await prepare(postgres);
const proxy = await startYsqlProxy({
  upstreamUrl: postgres.url(),
  line: state.config.profile,
  port: state.proxyPort,
  // YSQL of any node is this one PostgreSQL: it answers as one of the tablet servers that are alive.
  uuids: () => [state.ysqlOf ?? state.tservers.find(({ alive }) => alive)?.uuid ?? ''],
  // A snapshot's instant is named by `ysql_dump --read-time` only when the snapshot is complete; one of a schedule of a minute, when the export after it
  // begins. A universe keeps 15 minutes of history.
  firstNamingMs: 300_000,
});
const world = new World(directory, state, postgres);
const nodes = new Nodes(world);
const binDirectory = await writePrograms(join(directory, 'yugabyte'), world.profile, postgres.binDirectory);
await nodes.openAll();
info = describe();
const aging = setInterval(() => void age(), AGE_EVERY_MS);
world.save();
process.stdout.write(`${JSON.stringify(info)}\n`);
void ending.promise.then(stop);

async function stop(): Promise<void> {
  clearInterval(aging);
  await world.exclusively(async () => undefined);
  await proxy.stop();
  await postgres.stop();
  process.exit(0);
}

let isAging = false;

/** Time goes on; one look at a time. */
async function age(): Promise<void> {
  if (isAging) return;
  isAging = true;
  try {
    await ageEverything(world, nodes);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  } finally {
    isAging = false;
  }
}

async function serveControl(url: string, request: Parameters<typeof bodyOf>[0]): Promise<unknown> {
  if (url === '/info') {
    if (info === undefined) throw new Error('the universe is still starting');
    return info;
  }
  if (url === '/view') return view(world);
  const body = await bodyOf(request);
  if (url === '/act') {
    const action = JSON.parse(body) as Action;
    return await world.exclusively(() => act(world, nodes, action));
  }
  if (url === '/arm') {
    const trigger = JSON.parse(body) as Trigger;
    return await world.exclusively(async () => {
      state.triggers.push({ ...trigger, left: trigger.occurrence ?? 1 });
    });
  }
  if (url === '/disarm') {
    return await world.exclusively(async () => {
      state.triggers = [];
      state.refusals = [];
      state.lostAnswers = [];
      state.delays = [];
      state.balance = { everyMs: 0, copySnapshots: true, nextAt: 0 };
      state.growth = { everyMs: 0, nextAt: 0 };
      state.hidden = [];
      state.imports = 'all';
      delete state.ysqlOf;
      Object.assign(state.endOf, { snapshots: 'well', restorations: 'well', deletions: 'well' });
    });
  }
  throw new Error(`there is no ${url}`);
}

function describe(): UniverseInfo {
  return {
    pid: process.pid,
    control: `http://127.0.0.1:${state.controlPort}`,
    masters: state.masters.map(({ host }) => `${host}:${MASTER_RPC_PORT}`),
    masterWebAddresses: state.masters.map(({ host }) => `http://${host}:${MASTER_WEB_PORT}`),
    tservers: state.tservers.map(({ uuid, host, dataDirectories, readReplica }) => ({
      uuid,
      address: `${host}:${RPC_PORT}`,
      webAddress: `http://${host}:${TSERVER_WEB_PORT}`,
      dataDirectories,
      readReplica,
    })),
    binDirectory,
    ysqlUrl: proxy.url.replace(/\/[^/]*$/, '/yugabyte'),
    ycqlStoreUrl: postgres.url(YCQL_STORE),
  };
}

/** The databases of a new YugabyteDB, and its functions in every one that will be made. */
async function prepare(server: PostgresServer): Promise<void> {
  await withClient(server.url('template1'), async (client) => {
    await installDialect(client);
    await hideHistory(client);
  });
  await withClient(server.url(), async (client) => {
    const { rows } = await client.query<{ datname: string }>('SELECT datname FROM pg_database');
    for (const name of ['yugabyte', YCQL_STORE]) {
      if (!rows.some(({ datname }) => datname === name)) await client.query(`CREATE DATABASE ${name}`);
    }
    await installDialect(client);
  });
}

async function withClient(url: string, use: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await use(client);
  } finally {
    await client.end();
  }
}

async function newState(config: UniverseConfig): Promise<State> {
  // Addresses of its own for every node, as a universe has them; all of 127.0.0.0/8 is this machine (on macOS only what `ifconfig lo0 alias` added).
  const network = `127.${randomInt(1, 250)}.${randomInt(0, 255)}`;
  const servers = config.tservers + config.readReplicas;
  const created: State = {
    config,
    network,
    postgresPort: await freePort(),
    proxyPort: await freePort(),
    controlPort: await freePort(),
    clusterUuid: newUuid(),
    // Each keeps a replica of the catalogue.
    masters: Array.from({ length: config.replicationFactor }, (_, index) => ({
      uuid: newId(),
      host: `${network}.${index + 1}`,
      alive: true,
      leads: index === 0,
    })),
    tservers: Array.from({ length: servers }, (_, index) => ({
      uuid: newId(),
      host: `${network}.${index + 1}`,
      dataDirectories: Array.from({ length: config.dataDirectories }, (__, disk) =>
        join(directory, `node-${index + 1}`, `disk-${disk + 1}`),
      ),
      readReplica: index >= config.tservers,
      alive: true,
    })),
    namespaces: [],
    tables: [],
    tablets: [],
    snapshots: [],
    restorations: [],
    schedules: [],
    clones: [],
    triggers: [],
    refusals: [],
    lostAnswers: [],
    delays: [],
    calls: {},
    clockOffsetMs: 0,
    lastMicros: '0',
    loadBalancerEnabled: true,
    splittingHolds: {},
    neighbours: [],
    endOf: { snapshots: 'well', restorations: 'well', deletions: 'well' },
    balance: { everyMs: 0, copySnapshots: true, nextAt: 0 },
    growth: { everyMs: 0, nextAt: 0 },
    hidden: [],
    imports: 'all',
    slowImports: { msPerTable: 0, left: 0 },
    lateTables: [],
  };
  for (const server of created.tservers) formatDirectories(server);
  saveState(directory, created);
  return created;
}
