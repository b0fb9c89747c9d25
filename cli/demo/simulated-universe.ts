import { existsSync } from 'node:fs';
import { chmod, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { permanent } from '../../model/errors.ts';
import { FOR_NODE } from '../../model/program-environment.ts';
import { startServer } from '../../parts/process.ts';
import { createScratchFolder } from '../../parts/scratch.ts';
import type { DemoDatabase } from './database.ts';
import { digestTables, fillShop, withClient } from './shop.ts';

/** The simulator, a program of the checkout: no package of Holdfast has it. */
const SIMULATOR = fileURLToPath(new URL('../../test/universe/main.ts', import.meta.url));
const SIZE = { customers: 1_200, orders: 10_800 };
/**
 * Its `UniverseConfig`: three nodes that each keep every tablet. Each node gets 24 tablets to save, which are two tasks of its agent, so that the worker
 * can be killed after the first.
 */
const CONFIG = {
  profile: '2025.2',
  tservers: 3,
  readReplicas: 0,
  replicationFactor: 3,
  dataDirectories: 2,
  tabletsPerTable: 18,
  tls: false,
  snapshotMs: 150,
  restoreMs: 150,
  deleteMs: 100,
};

/** What the simulator tells, as one line of JSON, once it listens (`UniverseInfo`). */
interface SimulatorInfo {
  readonly masters: readonly string[];
  readonly tservers: readonly { readonly address: string }[];
  readonly binDirectory: string;
  readonly ysqlUrl: string;
}

/**
 * The shop in a simulated universe of YugabyteDB, for engine `universe`.
 *
 * @throws HoldfastError `DEMO_SIMULATOR_MISSING` in an installed package
 */
export async function startSimulatedUniverse(): Promise<DemoDatabase> {
  if (!existsSync(SIMULATOR)) {
    throw permanent(
      'DEMO_SIMULATOR_MISSING',
      'the demo of a universe needs the simulator of YugabyteDB, which is in the checkout of Holdfast and in no installed package',
      'Run ./holdfast demo --engine universe in a checkout; here, --engine ysql and --engine ycql work.',
    );
  }
  const scratch = await createScratchFolder('universe');
  // PostgreSQL, which keeps its rows, has an account of its own where this one is root.
  await chmod(scratch.path, 0o711);
  const logFile = path.join(scratch.path, 'universe.log');
  let info: SimulatorInfo | undefined;
  const server = await startServer({
    name: 'the simulated universe',
    command: process.execPath,
    args: [
      ...['--disable-warning=ExperimentalWarning', SIMULATOR],
      ...['--directory', scratch.path, '--config', JSON.stringify(CONFIG)],
    ],
    variables: FOR_NODE,
    logFile,
    checkReady: async () => {
      info = await infoIn(logFile);
    },
  });
  if (info === undefined) throw new Error('the simulated universe is ready and has told nothing');
  const { masters, tservers, binDirectory, ysqlUrl } = info;
  const url = (database = 'yugabyte') => {
    const address = new URL(ysqlUrl);
    address.pathname = `/${database}`;
    return address.href;
  };
  return {
    part: `a universe of YugabyteDB with three nodes, and it is SIMULATED.
   Simulated (test/universe): masters, tablet servers and their disks, yb-admin, and YSQL's dialect in front of a PostgreSQL.
   Real: Holdfast with a worker and an agent beside each node, Temporal, the S3 gateway. Real YugabyteDB servers were not tried yet`,
    contents: `the database \`shop\`: ${SIZE.customers + SIZE.orders} rows, in ${CONFIG.tabletsPerTable} tablets for each table and index, each on all three nodes`,
    source: `    universe:
      masters: [${masters.join(', ')}]
      ysql: { connection: { env: DEMO_DATABASE_URL } }
      databases: [shop]
      countRows: true
      # Slow, so that the worker can be killed half-way.
      limits: { tasksPerNode: 1, bytesPerSecondPerNode: 128KiB }`,
    environment: { DEMO_DATABASE_URL: url(), HOLDFAST_YB_BIN: binDirectory },
    nodes: tservers.map(({ address }) => address),
    fill: () => fillShop(url, SIZE),
    accident: {
      told: 'every order’s total is set to 0, another order is written, and the table customers is dropped',
      happens: () => damage(url('shop')),
    },
    digests: (name) => digestTables(url(name)),
    async stop() {
      await server.stop();
      await scratch.remove();
    },
  };
}

async function infoIn(logFile: string): Promise<SimulatorInfo> {
  const lines = (await readFile(logFile, 'utf8')).split('\n').slice(0, -1);
  const line = lines.find((each) => each.startsWith('{"pid":'));
  if (line === undefined) throw new Error('it has not told its addresses yet');
  return JSON.parse(line) as SimulatorInfo;
}

async function damage(url: string): Promise<void> {
  await withClient(url, async (client) => {
    await client.query('UPDATE orders SET total = 0');
    await client.query(
      "INSERT INTO orders (customer, total, token, placed_at) VALUES (1, 1, md5('late')::uuid, now())",
    );
    await client.query('DROP TABLE customers CASCADE');
  });
}
