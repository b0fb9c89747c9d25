import { errors } from 'cassandra-driver';
import { Writer, writeInOrder, writeLists } from '../../engines/ycql/restore/writer.ts';
import { joinElements } from '../../engines/ycql/rows.ts';
import { startCassandra } from '../../parts/cassandra.ts';
import { compareKeyspaces, openSession } from './compare.ts';
import { restoreContext, runRestore, takeBackup, ycqlSource } from './harness.ts';
import { useCassandra } from './stage.ts';
import { run } from './zoo.ts';

/* A row may be larger than what a server takes in one mutation: it grew cell by cell. */

const stage = useCassandra({ settings: { max_mutation_size: '3MiB' } }, 'large');

const MIB = 1024 * 1024;
const quiet = new AbortController().signal;
const prepared = { prepare: true };

function backupOf(table: string) {
  return takeBackup(
    stage.repository,
    ycqlSource(stage.cluster, {
      keyspaces: { include: ['large'], exclude: [] },
      tables: { include: [`large.${table}`], exclude: [] },
    }),
  );
}

async function comesBack(table: string): Promise<void> {
  const backup = await backupOf(table);
  const copy = `copy_of_${table}`;
  expect((await runRestore(restoreContext(backup, { into: { large: copy } }))).problems).toEqual([]);
  const { differences, cells } = await compareKeyspaces(stage.cluster, 'large', copy, [table]);
  expect(differences).toEqual([]);
  expect(cells).toBeGreaterThan(0);
  const asNew = { into: { large: copy }, contents: 'data' as const, asNew: true };
  expect((await runRestore(restoreContext(backup, asNew))).problems).toEqual([]);
  const again = await compareKeyspaces(stage.cluster, 'large', copy, [table], { withTimes: false });
  expect(again.differences).toEqual([]);
}

const insert = (query: string, ...params: readonly unknown[]) =>
  stage.client.execute(query, params, prepared);

test('cells that share a time of writing come back by several statements', async () => {
  const names = Array.from({ length: 10 }, (_, index) => `c${index}`);
  await run(
    stage.cluster,
    `CREATE TABLE large.cells (k int, c int, ${names.map((name) => `${name} blob`).join(', ')}, s1 blob static, s2 blob static, s3 blob static, s4 blob static, PRIMARY KEY (k, c))`,
  );
  for (const [index, name] of names.entries())
    await insert(
      `UPDATE large.cells USING TIMESTAMP 1700000000000000 AND TTL 90000 SET ${name} = ? WHERE k = 1 AND c = 1`,
      Buffer.alloc(MIB, index),
    );
  for (const name of ['s1', 's2', 's3', 's4'])
    await insert(
      `UPDATE large.cells USING TIMESTAMP 1700000000000005 SET ${name} = ? WHERE k = 1`,
      Buffer.alloc(MIB),
    );
  await comesBack('cells');
}, 300_000);

test('collections come back whose elements share a time of writing', async () => {
  await run(
    stage.cluster,
    'CREATE TYPE large.wide (a blob, b blob, c blob, d blob)',
    'CREATE TABLE large.together (k int PRIMARY KEY, s set<blob>, m map<int, blob>, u wide, l list<blob>, v int)',
    'INSERT INTO large.together (k, v) VALUES (1, 1)',
  );
  const using = 'UPDATE large.together USING TIMESTAMP 1700000000000000 SET';
  for (let index = 0; index < 8; index += 1) {
    const bytes = Buffer.alloc(MIB / 2, index);
    await insert(`${using} s = s + ?, m = m + ? WHERE k = 1`, [bytes], { [index]: bytes });
    await insert(`${using} l = l + ? WHERE k = 1`, [bytes]);
  }
  for (const name of ['a', 'b', 'c', 'd'])
    await insert(`${using} u.${name} = ? WHERE k = 1`, Buffer.alloc(MIB));
  await comesBack('together');
}, 300_000);

test('collections come back whose elements have times of their own', async () => {
  await run(
    stage.cluster,
    'CREATE TABLE large.apart (k int PRIMARY KEY, s set<blob>, m map<int, blob>, l list<blob>)',
  );
  for (let index = 0; index < 12; index += 1) {
    const using = `UPDATE large.apart USING TIMESTAMP ${1_700_000_000_000_000 + index} SET`;
    const bytes = Buffer.alloc(MIB / 2, index % 5);
    await insert(`${using} s = s + ?, m = m + ? WHERE k = 1`, [bytes], { [index]: bytes });
    await insert(`${using} l = l + ? WHERE k = 1`, [bytes]);
  }
  await comesBack('apart');
}, 300_000);

test('a list is there once and in order also where the answer to one of its batches was lost', async () => {
  const session = await openSession(stage.cluster);
  try {
    await run(stage.cluster, 'CREATE TABLE large.lossy (k int PRIMARY KEY, l list<blob>)');
    const key = Buffer.from([0, 0, 0, 1]);
    const parts = [1, 2, 3, 4].map((byte) => joinElements(1, [Buffer.alloc(MIB * 0.7, byte)]));
    const statement = (sign: string) => (part: Buffer) => ({
      query: `UPDATE large.lossy SET l = l ${sign} ? WHERE k = ?`,
      params: [part, key],
      partition: [key],
    });
    const options = { doing: 'load a list', keyspace: 'large', signal: quiet, log: () => undefined };
    const write = session.write.bind(session);
    let lost = 0;
    session.write = async (...given) => {
      await write(...given);
      lost += 1;
      if (lost === 3) throw new errors.OperationTimedOutError('the answer was lost');
    };
    const clear = () => writeInOrder(session, parts.map(statement('-')), options);
    await writeLists(session, parts.map(statement('+')), clear, options);
    const { rows } = await stage.client.execute('SELECT l FROM large.lossy WHERE k = 1');
    expect(rows[0]?.l.map((element: Buffer) => element[0])).toEqual([1, 2, 3, 4]);
  } finally {
    await session.close();
  }
}, 120_000);

test('a cell that is larger than the target takes is told with its table, its size and a remedy', async () => {
  await run(stage.cluster, 'CREATE TABLE large.cell (k int PRIMARY KEY, v blob)');
  await insert('INSERT INTO large.cell (k, v) VALUES (1, ?)', Buffer.alloc(2.5 * MIB));
  const backup = await backupOf('cell');
  const narrow = await startCassandra({ durable: false, settings: { max_mutation_size: '1MiB' } });
  try {
    process.env.YCQL_TEST_NARROW = `cql://${narrow.contactPoints[0]}:${narrow.port}/?dc=${narrow.localDataCenter}`;
    const request = { into: { large: 'cell' }, connection: { env: 'YCQL_TEST_NARROW' } };
    await expect(runRestore(restoreContext(backup, request))).rejects.toMatchObject({
      code: 'YCQL_TOO_LARGE',
      message: expect.stringMatching(
        /"cell"\."cell": .* mutation of 26\d{5} bytes, and the server takes 1048576/,
      ),
      remedy: expect.stringMatching(/max_mutation_size.*commitlog_segment_size.*--exclude-tables/),
    });
  } finally {
    await narrow.stop();
  }
}, 300_000);

test('a request that is larger than the target takes is told so too', async () => {
  const session = await openSession(stage.cluster);
  try {
    await run(stage.cluster, 'CREATE TABLE large.request (k int PRIMARY KEY, v blob)');
    const doing = 'load rows into large.request';
    const writer = new Writer(session, { doing, keyspace: 'large', signal: quiet, log: () => undefined });
    const query = 'INSERT INTO large.request (k, v) VALUES (?, ?)';
    const written = writer.add([{ query, params: [Buffer.alloc(4), Buffer.alloc(17 * MIB)] }]);
    await expect(written.then(() => writer.finish())).rejects.toMatchObject({
      code: 'YCQL_TOO_LARGE',
      message: expect.stringMatching(/large\.request: .*17825\d{3} bytes, and the server takes 16777216/),
      remedy: expect.stringContaining('native_transport_max_frame_size'),
    });
  } finally {
    await session.close();
  }
}, 120_000);
