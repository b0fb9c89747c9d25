import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { checkWritesStopped, type NodesAsked } from '../../engines/universe/in-cluster/rewind.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { parseConnectionUrl } from '../../engines/ysql/server/connection-url.ts';
import { exchangeNames } from '../../engines/ysql/server/exchange-names.ts';
import { connect } from '../../engines/ysql/server/session.ts';
import { startYsqlProxy, type YsqlProxy } from '../proxy/proxy.ts';
import { query } from '../support/sql.ts';
import {
  createRepository,
  restoreContext,
  runRestore,
  startServer,
  type TestRepository,
  type TestServer,
  takeBackup,
  ysqlSource,
} from './harness.ts';

const signal = new AbortController().signal;
/** What is tested here has nothing to do with the program that dumps the schema. */
const STOCK = ysqlSource({ dumpProgram: 'pg_dump' });

let server: TestServer;
let proxy: YsqlProxy;
let repository: TestRepository;
const open: Client[] = [];

beforeAll(async () => {
  server = await startServer();
  repository = await createRepository();
});

beforeEach(async () => {
  proxy = await startYsqlProxy({ upstreamUrl: server.url(), nodes: 3 });
  await query(server.url(), 'CREATE DATABASE shop');
  await query(
    server.url('shop'),
    'CREATE TABLE goods (id int PRIMARY KEY)',
    'INSERT INTO goods VALUES (1), (2)',
  );
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.end().catch(() => undefined)));
  await proxy?.stop();
  const left = await query(server.url(), "SELECT datname FROM pg_database WHERE datname LIKE 'shop%'");
  for (const { datname } of left) await query(server.url(), `DROP DATABASE ${datname} WITH (FORCE)`);
});

afterAll(async () => {
  await server?.stop();
  await repository?.remove();
});

function at(node: number, database = 'shop'): string {
  const url = new URL(proxy.nodeUrls[node] ?? '');
  url.pathname = database;
  return url.href;
}

/** An application that goes on by itself. */
async function application(node: number, ...statements: readonly string[]): Promise<Client> {
  const client = new Client({ connectionString: at(node), application_name: 'the shop' });
  client.on('error', () => undefined);
  await client.connect();
  open.push(client);
  for (const sql of statements) await client.query(sql);
  return client;
}

describe('before a rewind', () => {
  async function look(aliveHosts: readonly string[] = ['127.0.0.1']): Promise<void> {
    const target = parseConnectionUrl(at(0));
    const asked: NodesAsked = { target, signal, aliveHosts: new Set(aliveHosts) };
    const session = await connect(target, 'shop', signal);
    try {
      await checkWritesStopped(session, asked);
    } finally {
      await session.close();
    }
  }

  test('a session that writes on another node is seen', async () => {
    await look();
    const writer = await application(2, 'BEGIN', 'INSERT INTO goods VALUES (3)');
    await expect(look()).rejects.toMatchObject({
      code: 'WRITES_NOT_STOPPED',
      message: expect.stringMatching(/session \d+ of postgres \(the shop, idle in transaction\)/),
    });
    await writer.query('ROLLBACK');
    await look();
  });

  test('a node that can’t be asked is named and refused, unless the masters know that it is dead', async () => {
    proxy.takeDown(1);
    await expect(look()).rejects.toMatchObject({
      code: 'WRITES_NOT_STOPPED',
      transient: false,
      message: expect.stringContaining(`127.0.0.1:${new URL(at(1)).port}`),
    });
    await look([]);
  });
});

describe('a restore that replaces', () => {
  test('ends the sessions of every node, so that none goes on writing into what was replaced', async () => {
    const backup = await takeBackup(repository, at(0), STOCK);
    const writer = await application(1, 'INSERT INTO goods VALUES (3)');
    const outcome = await runRestore(restoreContext(backup, at(0), { replace: true, restore: 'swapped' }));
    expect(outcome).toMatchObject({ problems: [], databases: [{ to: 'shop', kept: 'shop_before_swapped' }] });
    expect(outcome.notes ?? []).toEqual([]);
    await expect(writer.query('INSERT INTO goods VALUES (4)')).rejects.toThrow();
    expect(await query(server.url('shop'), 'SELECT id FROM goods ORDER BY 1')).toEqual([
      { id: 1 },
      { id: 2 },
    ]);
  });

  test('ends those too that come by the old name while the names are exchanged', async () => {
    await query(server.url(), 'CREATE DATABASE shop_new');
    const names = { from: 'shop', to: 'shop', working: 'shop_new', kept: 'shop_before' };
    const job = {
      target: parseConnectionUrl(at(0, 'postgres')),
      databases: [{ names }],
      context: { signal },
    };
    let stop = false;
    const coming = (async () => {
      while (!stop) {
        await application(2).catch(() => undefined);
        await sleep(5);
      }
    })();
    await sleep(200);
    const notes = await exchangeNames(job, true);
    const left = await query(
      server.url(),
      "SELECT pid FROM pg_stat_activity WHERE datname = 'shop_before' AND application_name = 'the shop'",
    );
    stop = true;
    await coming;
    expect(notes).toEqual([]);
    expect(left).toEqual([]);
  });

  test('is refused by name before anything is written where a node can’t be asked', async () => {
    const backup = await takeBackup(repository, at(0), STOCK);
    proxy.takeDown(2);
    const context = restoreContext(backup, at(0), { replace: true });
    await expect(ysqlEngine.restore.plan(context)).rejects.toMatchObject({
      code: 'YSQL_NODE_SILENT',
      transient: false,
      message: expect.stringContaining(`127.0.0.1:${new URL(at(2)).port}`),
    });
  });

  test('says so where a node falls silent in its course', async () => {
    await query(server.url(), 'CREATE DATABASE shop_new');
    const names = { from: 'shop', to: 'shop', working: 'shop_new', kept: 'shop_before' };
    const job = {
      target: parseConnectionUrl(at(0, 'postgres')),
      databases: [{ names }],
      context: { signal },
    };
    proxy.takeDown(2);
    const notes = await exchangeNames(job, true);
    expect(notes).toEqual([
      expect.stringMatching(/^Node 127\.0\.0\.1:\d+ could not be asked: sessions there may go on writing/),
    ]);
  });
});
