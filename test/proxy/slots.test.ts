import { Client } from 'pg';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { eventually } from '../support/processes.ts';
import { startYsqlProxy, type YsqlProxy } from './proxy.ts';
import { lsnText, microsOfHybrid } from './replication/hybrid-time.ts';
import { UPSTREAM_SETTINGS } from './replication/settings.ts';
import { TestReplication } from './replication/test-client.ts';

let postgres: PostgresServer;
let proxy: YsqlProxy;
const open: { end(): Promise<void> }[] = [];

async function session(url = proxy.url): Promise<Client> {
  const client = new Client({ connectionString: url });
  await client.connect();
  client.on('error', () => undefined);
  open.push(client);
  return client;
}

async function replication(url = proxy.url): Promise<TestReplication> {
  const connected = await TestReplication.connect(url);
  open.push(connected);
  return connected;
}

async function value(client: Client, sql: string): Promise<unknown> {
  const found = await client.query({ text: sql, rowMode: 'array' });
  return found.rows[0]?.[0];
}

beforeAll(async () => {
  postgres = await startPostgres({ settings: UPSTREAM_SETTINGS });
});

afterAll(async () => {
  await postgres.stop();
});

describe('as YugabyteDB 2025.2', () => {
  beforeAll(async () => {
    proxy = await startYsqlProxy({
      upstreamUrl: postgres.url(),
      line: '2025.2',
      replication: { activeWindowMs: 0 },
    });
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((client) => client.end()));
    for (const { name } of proxy.slots.all()) proxy.slots.drop(name);
  });
  afterAll(async () => {
    await proxy.stop();
  });

  test('a slot of hybrid times sends what commits after its snapshot, once, and goes on after what was acknowledged', async () => {
    const client = await session();
    await client.query('CREATE TABLE first_slot (id int PRIMARY KEY, said text)');
    await client.query("INSERT INTO first_slot VALUES (1, 'before')");
    await client.query('CREATE PUBLICATION first_slot FOR TABLE first_slot');
    const stream = await replication();
    const made = await stream.command(
      'CREATE_REPLICATION_SLOT first LOGICAL yboutput USE_SNAPSHOT HYBRID_TIME',
    );
    expect(made).toMatchObject({ slot_name: 'first', consistent_point: '0/2', output_plugin: 'yboutput' });
    const snapshot = BigInt(made?.snapshot_name ?? 0);
    await client.query("INSERT INTO first_slot VALUES (2, 'after')");
    await client.query('BEGIN');
    await client.query("INSERT INTO first_slot VALUES (3, 'together'), (4, 'together')");
    await client.query('COMMIT');
    stream.start('first', 'first_slot');
    await eventually('two transactions came', async () => stream.transactions().length === 2);
    const [one, other] = stream.transactions();
    expect(one?.messages.map(({ type }) => type)).toEqual(['B', 'R', 'I', 'C']);
    expect(one?.messages[2]?.row).toEqual(['2', 'after']);
    expect(other?.messages.map(({ type }) => type)).toEqual(['B', 'I', 'I', 'C']);
    expect((one?.lsn ?? 0n) > snapshot && (other?.lsn ?? 0n) > (one?.lsn ?? 0n)).toBe(true);
    expect(other?.messages.at(-1)).toMatchObject({ lsn: other?.lsn, endLsn: (other?.lsn ?? 0n) + 1n });
    expect(Math.abs(Number(microsOfHybrid(one?.lsn ?? 0n)) / 1000 - Date.now())).toBeLessThan(60_000);

    await client.query('BEGIN');
    await client.query(`SET LOCAL yb_read_time TO '${snapshot} ht'`);
    expect(await value(client, 'SELECT array_agg(id ORDER BY id) FROM first_slot')).toEqual([1]);
    await client.query('COMMIT');
    await client.query(`SET yb_read_time TO '${one?.lsn} ht'`);
    expect(await value(client, 'SELECT array_agg(id ORDER BY id) FROM first_slot')).toEqual([1, 2]);
    await client.query('SET yb_read_time TO 0');

    stream.feedback(one?.lsn ?? 0n, true);
    await eventually('an answer came', async () => stream.keepalives.length > 0);
    await eventually(
      'the view shows it',
      async () =>
        (await value(
          client,
          "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'first'",
        )) === lsnText(one?.lsn ?? 0n),
    );
    await stream.end();
    const again = await replication();
    again.start('first', 'first_slot');
    await eventually('the other came again', async () => again.transactions().length === 1);
    expect(again.transactions()[0]?.lsn).toBe(other?.lsn);
  });
});
