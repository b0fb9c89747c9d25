import { setTimeout as sleep } from 'node:timers/promises';
import { ycqlEngine } from '../../engines/ycql/engine.ts';
import { type CassandraCluster, startCassandra } from '../../parts/cassandra.ts';
import { compareKeyspaces } from './compare.ts';
import { createRepository, restoreContext, type TestRepository, takeBackup, ycqlSource } from './harness.ts';
import { plainClient, run } from './zoo.ts';

/*
 * A node answers a write before it is on its disk, and dies: with the machine by default, and here, where the commit log is
 * compressed in the process's own memory, with the process.
 */

let cluster: CassandraCluster;
let repository: TestRepository;

beforeAll(async () => {
  cluster = await startCassandra({
    settings: {
      commitlog_sync: 'periodic',
      commitlog_sync_period: '60000ms',
      commitlog_compression: '[ { class_name: LZ4Compressor } ]',
      commitlog_segment_size: '32MiB',
    },
  });
  repository = await createRepository();
});

afterAll(async () => {
  await cluster?.stop();
  await repository?.remove();
});

const ROWS = 6_000;

test('rows that a node had answered and lost when it died are written again, with lists and counters as they were', async () => {
  await run(
    cluster,
    "CREATE KEYSPACE lost WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    'CREATE TABLE lost.rows (p int PRIMARY KEY, v text)',
    'CREATE TABLE lost.lists (p int PRIMARY KEY, l list<int>)',
    'CREATE TABLE lost.counts (p int PRIMARY KEY, n counter)',
  );
  const client = plainClient(cluster);
  for (let row = 0; row < ROWS; row += 250) {
    await Promise.all(
      Array.from({ length: 250 }, (_, index) =>
        client.execute('INSERT INTO lost.rows (p, v) VALUES (?, ?)', [row + index, 'x'.repeat(80)], {
          prepare: true,
        }),
      ),
    );
  }
  for (let p = 0; p < 200; p += 1) {
    await client.execute(`INSERT INTO lost.lists (p, l) VALUES (${p}, [1, 1, ${p}])`);
    await client.execute(`UPDATE lost.counts SET n = n + ${p} WHERE p = ${p}`);
  }
  await client.shutdown();
  const source = ycqlSource(cluster, {
    keyspaces: { include: ['lost'], exclude: [] },
    chunkBytes: 10_000_000,
    // Slowly, so that the node dies in the midst of it.
    load: { inFlightPerNode: 8, pageRows: 200, rowsPerSecond: 900, writesInFlightPerNode: 4 },
  });
  const fast = { ...source, load: { inFlightPerNode: 8, pageRows: 500 } };
  const backup = await takeBackup(repository, fast);
  // What was there before is on the disk.
  await cluster.nodetool(0, 'flush');
  const context = restoreContext({ ...backup, source }, { into: { lost: 'found' }, check: 'rows' });
  const { tasks } = await ycqlEngine.restore.plan(context);
  await ycqlEngine.restore.prepare(context);
  await cluster.nodetool(0, 'flush');
  const loading = (async () => {
    for (let task = 0; task < tasks; task += 1) {
      for (let attempt = 1; ; attempt += 1) {
        try {
          await ycqlEngine.restore.load({ ...context, attempt }, task);
          break;
        } catch (error) {
          // As Temporal does.
          if (attempt > 300) throw error;
          await sleep(500);
        }
      }
    }
  })();
  await sleep(4_000);
  await cluster.nodes[0]?.kill9();
  await cluster.nodes[0]?.restart();
  await loading;
  const { problems } = await ycqlEngine.restore.finish(context);
  // Indexes and views aside, of which there are none.
  expect(problems).toEqual([]);
  const { differences, rows } = await compareKeyspaces(cluster, 'lost', 'found', ['rows', 'lists', 'counts']);
  expect(differences).toEqual([]);
  expect(rows).toBe(ROWS + 400);
});
