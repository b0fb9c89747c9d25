import { Client } from 'pg';
import { type PostgresServer, type PostgresVersion, startPostgres } from '../../parts/postgres.ts';
import { FETCHED_POSTGRES_RUNS_HERE } from '../../parts/postgres-versions.ts';
import { eventually } from '../support/processes.ts';
import { CLIENT_LINES, type ClientLineName } from './client-lines.ts';
import { startYsqlProxy, type YsqlProxy } from './proxy.ts';
import { UPSTREAM_SETTINGS } from './replication/settings.ts';
import { type SeenTransaction, TestReplication } from './replication/test-client.ts';

/* What the release lines have of slots, each apart. */

const servers = new Map<PostgresVersion, PostgresServer>();
const open: { end(): Promise<void> }[] = [];
let proxy: YsqlProxy;

async function start(line: ClientLineName): Promise<void> {
  const { major } = CLIENT_LINES[line];
  const server = servers.get(major) ?? (await startPostgres({ version: major, settings: UPSTREAM_SETTINGS }));
  servers.set(major, server);
  proxy = await startYsqlProxy({ upstreamUrl: server.url(), line, replication: { activeWindowMs: 0 } });
}

async function session(): Promise<Client> {
  const client = new Client({ connectionString: proxy.url });
  await client.connect();
  open.push(client);
  return client;
}

async function replication(): Promise<TestReplication> {
  const stream = await TestReplication.connect(proxy.url);
  open.push(stream);
  return stream;
}

async function received(stream: TestReplication, count: number): Promise<readonly SeenTransaction[]> {
  await eventually(
    `${count} transactions came`,
    async () => {
      if (stream.failure !== undefined) throw stream.failure;
      return stream.transactions().length >= count;
    },
    () => rows(stream.transactions()),
  );
  return stream.transactions();
}

function rows(transactions: readonly SeenTransaction[]): readonly unknown[] {
  return transactions.flatMap(({ messages }) =>
    messages.flatMap(({ type, old, row }) => ('IUD'.includes(type) ? [[type, old, row]] : [])),
  );
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.end()));
  await proxy.stop();
});

afterAll(async () => {
  await Promise.all([...servers.values()].map((server) => server.stop()));
});

const onEleven = FETCHED_POSTGRES_RUNS_HERE ? test : test.failing;

onEleven('2.18 has no logical replication', async () => {
  await start('2.18');
  const stream = await replication();
  await expect(stream.command('CREATE_REPLICATION_SLOT x LOGICAL yboutput')).rejects.toMatchObject({
    code: '55000',
    message: 'logical decoding requires wal_level >= logical',
  });
});

onEleven('2024.2.1 has slots of counted positions only', async () => {
  await start('2024.2');
  const client = await session();
  await client.query('CREATE TABLE eleven (a int PRIMARY KEY, b text)');
  await client.query('CREATE PUBLICATION eleven FOR TABLE eleven');
  const stream = await replication();
  await expect(
    stream.command('CREATE_REPLICATION_SLOT eleven LOGICAL yboutput HYBRID_TIME'),
  ).rejects.toMatchObject({
    code: '42601',
  });
  await expect(
    client.query(
      "SELECT pg_create_logical_replication_slot('eleven', 'yboutput', false, false, 'HYBRID_TIME')",
    ),
  ).rejects.toMatchObject({ code: '42883' });
  const made = await stream.command('CREATE_REPLICATION_SLOT eleven LOGICAL yboutput');
  const { fields } = await client.query('SELECT * FROM pg_replication_slots');
  expect(fields.map(({ name }) => name).slice(-3)).toEqual([
    'confirmed_flush_lsn',
    'yb_stream_id',
    'yb_restart_commit_ht',
  ]);
  await client.query("INSERT INTO eleven VALUES (1, 'x')");
  await client.query("UPDATE eleven SET b = 'y'");
  stream.start('eleven', 'eleven');
  const seen = await received(stream, 2);
  expect(seen.map(({ lsn }) => lsn)).toEqual([4n, 7n]);
  expect(rows(seen)).toEqual([
    ['I', undefined, ['1', 'x']],
    ['U', ['K', ['unset', 'unset']], ['1', 'y']],
  ]);
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await client.query(`SET LOCAL yb_read_time TO '${made?.snapshot_name} ht'`);
  expect((await client.query('SELECT * FROM eleven')).rows).toEqual([]);
  await client.query('COMMIT');
});

test('2026.1 follows publications at once, and neither refuses TRUNCATE nor sends it', async () => {
  await start('2026.1');
  const client = await session();
  await client.query('CREATE TABLE newest (a int PRIMARY KEY, b text, c text)');
  await client.query('CREATE TABLE added (a int PRIMARY KEY)');
  await client.query('CREATE PUBLICATION newest FOR TABLE newest');
  const stream = await replication();
  await stream.command('CREATE_REPLICATION_SLOT newest LOGICAL yboutput HYBRID_TIME');
  stream.start('newest', 'newest');
  const { fields } = await client.query('SELECT * FROM pg_replication_slots');
  expect(fields.map(({ name }) => name).slice(-2)).toEqual(['yb_lsn_type', 'yb_restart_time']);
  await client.query("INSERT INTO newest VALUES (1, 'x', 'z')");
  await client.query('INSERT INTO added VALUES (1)');
  await client.query('ALTER PUBLICATION newest ADD TABLE added');
  await client.query('INSERT INTO added VALUES (2)');
  await client.query("UPDATE newest SET b = 'y'");
  await client.query('TRUNCATE newest');
  await client.query('ALTER PUBLICATION newest DROP TABLE added');
  await client.query('INSERT INTO added VALUES (3)');
  await client.query("INSERT INTO newest VALUES (4, 'x', 'z')");
  expect(rows(await received(stream, 4))).toEqual([
    ['I', undefined, ['1', 'x', 'z']],
    ['I', undefined, ['2']],
    ['U', undefined, ['1', 'y', 'unset']],
    ['I', undefined, ['4', 'x', 'z']],
  ]);
  expect(stream.messages.filter(({ type }) => type === 'R').map(({ keys }) => keys)).toContainEqual(['a']);
});

test('2026.1 sends the rows of a table that was written anew again, and none that was rolled back to a savepoint', async () => {
  await start('2026.1');
  const client = await session();
  await client.query('CREATE TABLE anew (a int PRIMARY KEY, b text)');
  await client.query("INSERT INTO anew VALUES (1, '7')");
  await client.query('CREATE PUBLICATION anew FOR TABLE anew');
  const stream = await replication();
  await stream.command('CREATE_REPLICATION_SLOT anew LOGICAL yboutput HYBRID_TIME');
  stream.start('anew', 'anew');
  await client.query('ALTER TABLE anew ALTER COLUMN b TYPE int USING b::int');
  await client.query('BEGIN');
  await client.query('SAVEPOINT here');
  await client.query('INSERT INTO anew VALUES (2, 2)');
  await client.query('ROLLBACK TO here');
  await client.query('INSERT INTO anew VALUES (3, 3)');
  await client.query('COMMIT');
  expect(rows(await received(stream, 2))).toEqual([
    ['I', undefined, ['1', '7']],
    ['I', undefined, ['3', '3']],
  ]);
});
