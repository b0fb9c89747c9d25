import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { eventually } from '../support/processes.ts';
import { startYsqlProxy, type YsqlProxy } from './proxy.ts';
import { lsnText, microsOfHybrid } from './replication/hybrid-time.ts';
import { UPSTREAM_SETTINGS } from './replication/settings.ts';
import { type SeenTransaction, TestReplication } from './replication/test-client.ts';
import { writeYsqlTools } from './tools.ts';

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

  /** A slot, and a stream of it; what the database has is in `setUp`. */
  async function streaming(
    name: string,
    setUp: readonly string[],
    options: { readonly plugin?: string; readonly words?: string; readonly start?: boolean } = {},
  ): Promise<{ readonly client: Client; readonly stream: TestReplication }> {
    const client = await session();
    for (const sql of setUp) await client.query(sql);
    const stream = await replication();
    const { plugin = 'yboutput', words = 'HYBRID_TIME' } = options;
    await stream.command(`CREATE_REPLICATION_SLOT ${name} LOGICAL ${plugin} ${words}`);
    if (options.start !== false) stream.start(name, name);
    return { client, stream };
  }

  async function received(stream: TestReplication, count: number): Promise<readonly SeenTransaction[]> {
    await eventually(
      `${count} transactions came`,
      async () => {
        if (stream.failure !== undefined) throw stream.failure;
        return stream.transactions().length >= count;
      },
      () => stream.transactions().length,
    );
    return stream.transactions();
  }

  /** Settles when the stream has answered to a status. */
  async function answers(stream: TestReplication): Promise<void> {
    await eventually('it is alive', async () => {
      stream.feedback(0n, true);
      return stream.keepalives.length > 0;
    });
  }

  /** The rows of the transactions, in a form that is quick to read. */
  function rows(transactions: readonly SeenTransaction[]): readonly unknown[] {
    return transactions.flatMap(({ messages }) =>
      messages.flatMap(({ type, old, row }) => ('IUD'.includes(type) ? [[type, old, row]] : [])),
    );
  }

  test('the view shows a slot with first values that are the same for either LSN type', async () => {
    const client = await session();
    const stream = await replication();
    const made = await stream.command('CREATE_REPLICATION_SLOT shown LOGICAL yboutput HYBRID_TIME');
    await client.query("SELECT pg_create_logical_replication_slot('shown_too', $1)", ['pgoutput']);
    const { rows: seen } = await client.query(
      `SELECT slot_name, plugin, slot_type, database, temporary, active, active_pid, xmin::text, restart_lsn, confirmed_flush_lsn, yb_lsn_type,
         yb_restart_commit_ht::text AS ht, length(yb_stream_id) AS id FROM pg_catalog.pg_replication_slots s WHERE s.slot_name LIKE 'shown%' ORDER BY 1`,
    );
    const same = {
      ...{ slot_type: 'logical', database: 'postgres', temporary: false, active: false, active_pid: null },
      ...{ xmin: '1', restart_lsn: '0/1', confirmed_flush_lsn: '0/2', id: 32 },
    };
    expect(seen).toEqual([
      {
        slot_name: 'shown',
        plugin: 'yboutput',
        yb_lsn_type: 'HYBRID_TIME',
        ht: made?.snapshot_name,
        ...same,
      },
      { slot_name: 'shown_too', plugin: 'pgoutput', yb_lsn_type: 'SEQUENCE', ht: seen[1]?.ht, ...same },
    ]);
    expect(BigInt(seen[1]?.ht) > BigInt(seen[0]?.ht)).toBe(true);
    const now = await value(client, 'SELECT yb_get_current_hybrid_time_lsn()');
    expect(BigInt(String(now)) > BigInt(seen[1]?.ht)).toBe(true);
    await client.query(
      "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE 'shown%'",
    );
    expect(await value(client, 'SELECT count(*)::int FROM pg_replication_slots')).toBe(0);
  });

  test('a slot of type SEQUENCE, which is the default, counts records from 2 on', async () => {
    const { client, stream } = await streaming(
      'counting',
      ['CREATE TABLE counting (id int PRIMARY KEY)', 'CREATE PUBLICATION counting FOR TABLE counting'],
      { words: '' },
    );
    await client.query('INSERT INTO counting VALUES (1)');
    await client.query('INSERT INTO counting VALUES (2), (3)');
    const [one, other] = await received(stream, 2);
    expect(one?.messages.map(({ type, at }) => [type, at])).toEqual([
      ['B', 2n],
      ['R', 0n],
      ['I', 3n],
      ['C', 5n],
    ]);
    expect([one?.lsn, one?.messages[0]?.xid, other?.lsn, other?.messages[0]?.xid]).toEqual([4n, 2, 8n, 3]);
    stream.feedback(4n);
    await stream.end();
    await client.query('INSERT INTO counting VALUES (4)');
    const again = await replication();
    again.start('counting', 'counting');
    expect((await received(again, 2)).map(({ lsn }) => lsn)).toEqual([8n, 11n]);
  });

  test('CHANGE sends keys and what changed, DEFAULT the new row, FULL both; each as it was when the slot was made', async () => {
    const tables = ['c', 'd', 'f', 'n'];
    const { client, stream } = await streaming('identities', [
      ...tables.map((name) => `CREATE TABLE identity_${name} (a int PRIMARY KEY, b text, c bool)`),
      'ALTER TABLE identity_d REPLICA IDENTITY DEFAULT',
      'ALTER TABLE ONLY public.identity_f REPLICA IDENTITY FULL',
      'ALTER TABLE identity_n REPLICA IDENTITY NOTHING',
      ...tables.map((name) => `INSERT INTO identity_${name} VALUES (1, 'x', true), (2, 'y', true)`),
      `CREATE PUBLICATION identities FOR TABLE ${tables.map((name) => `identity_${name}`).join(', ')}`,
    ]);
    expect(
      await value(
        client,
        "SELECT string_agg(relreplident, '' ORDER BY relname) FROM pg_class c WHERE relname LIKE 'identity__'",
      ),
    ).toBe('cdfn');
    await client.query('ALTER TABLE identity_c REPLICA IDENTITY FULL');
    for (const name of tables) {
      await client.query(`UPDATE identity_${name} SET b = NULL WHERE a = 1`);
      await client.query(`DELETE FROM identity_${name} WHERE a = 2`);
      await client.query(`UPDATE identity_${name} SET a = 3 WHERE a = 1`);
      await client.query(`INSERT INTO identity_${name} VALUES (9, 'z', false)`);
    }
    const seen = await received(stream, 13);
    expect(rows(seen)).toEqual([
      ['U', ['K', ['unset', 'unset', 'unset']], ['1', null, 'unset']],
      ['D', ['K', ['2', null, null]], undefined],
      ['D', ['K', ['1', null, null]], undefined],
      ['I', undefined, ['3', null, 't']],
      ['I', undefined, ['9', 'z', 'f']],
      ['U', undefined, ['1', null, 't']],
      ['D', ['K', ['2', null, null]], undefined],
      ['D', ['K', ['1', null, null]], undefined],
      ['I', undefined, ['3', null, 't']],
      ['I', undefined, ['9', 'z', 'f']],
      ['U', ['O', ['1', 'x', 't']], ['1', null, 't']],
      ['D', ['O', ['2', 'y', 't']], undefined],
      ['D', ['O', ['1', null, 't']], undefined],
      ['I', undefined, ['3', null, 't']],
      ['I', undefined, ['9', 'z', 'f']],
      ['I', undefined, ['9', 'z', 'f']],
    ]);
    const described = stream.messages.filter(({ type }) => type === 'R');
    expect(described.map(({ table, identity, keys }) => [table, identity, keys])).toEqual([
      ['public.identity_c', 'c', []],
      ['public.identity_d', 'd', ['a']],
      ['public.identity_f', 'f', ['a', 'b', 'c']],
      ['public.identity_n', 'n', []],
    ]);
  });

  test('pgoutput refuses a table of identity CHANGE when it is to be read, not when the slot is made', async () => {
    const { client, stream } = await streaming(
      'plain',
      ['CREATE TABLE plain (id int PRIMARY KEY)', 'CREATE PUBLICATION plain FOR TABLE plain'],
      { plugin: 'pgoutput' },
    );
    const oid = await value(client, "SELECT 'plain'::regclass::oid");
    await eventually('it was refused', async () => stream.failure !== undefined);
    expect(stream.failure).toMatchObject({
      message: `replica identity CHANGE (for table: ${oid}) is not supported for output plugin pgoutput`,
      hint: 'Consider using output plugin yboutput instead. ',
    });
  });

  test('a row that is changed in the transaction that made it has no image of before, which only CHANGE does without', async () => {
    const { client, stream } = await streaming('fresh', [
      'CREATE TABLE fresh_c (a int PRIMARY KEY, b text)',
      'CREATE TABLE fresh_d (a int PRIMARY KEY, b text)',
      'ALTER TABLE fresh_d REPLICA IDENTITY DEFAULT',
      'CREATE PUBLICATION fresh FOR TABLE fresh_c, fresh_d',
    ]);
    await client.query("BEGIN; INSERT INTO fresh_c VALUES (1, 'x'); UPDATE fresh_c SET b = 'y'; COMMIT");
    await received(stream, 1);
    await client.query("BEGIN; INSERT INTO fresh_d VALUES (1, 'x'); UPDATE fresh_d SET b = 'y'; COMMIT");
    await eventually('it failed', async () => stream.failure !== undefined);
    expect(stream.failure?.message).toMatch(/^Failed to get the beforeimage for tablet_id: /);
  });

  test('a table without a primary key is left out without a word, and its rows can be changed', async () => {
    const { client, stream } = await streaming('keyless', [
      'CREATE TABLE keyless (a int)',
      'CREATE TABLE keyed (a int PRIMARY KEY)',
      'CREATE PUBLICATION keyless FOR ALL TABLES',
    ]);
    await client.query('INSERT INTO keyless VALUES (1)');
    await client.query('UPDATE keyless SET a = 2');
    await client.query('INSERT INTO keyed VALUES (7)');
    expect(rows(await received(stream, 1))).toEqual([['I', undefined, ['7']]]);
    await client.query('DROP PUBLICATION keyless');
  });

  test('what is written to a new table before the list of tables is refreshed is never sent', async () => {
    proxy.slots.settings = { ...proxy.slots.settings, publicationRefreshMs: 3000 };
    const { client, stream } = await streaming('new_tables', [
      'CREATE PUBLICATION new_tables FOR ALL TABLES',
    ]);
    await client.query('CREATE TABLE newcomer (a int PRIMARY KEY)');
    await client.query('INSERT INTO newcomer VALUES (1)');
    let written = 1;
    await eventually('a later row came', async () => {
      written += 1;
      await client.query('INSERT INTO newcomer VALUES ($1)', [written]);
      return stream.transactions().length > 0;
    });
    const first = stream.transactions()[0]?.messages.find(({ type }) => type === 'I');
    expect(Number(first?.row?.[0])).toBeGreaterThan(1);
    proxy.slots.settings = { ...proxy.slots.settings, publicationRefreshMs: 900_000 };
    await client.query('DROP PUBLICATION new_tables');
  });

  test('a publication that was made after the slot is not there for it', async () => {
    const { client, stream } = await streaming('early', ['CREATE TABLE early (a int PRIMARY KEY)'], {
      start: false,
    });
    await client.query('CREATE PUBLICATION early FOR TABLE early');
    stream.start('early', 'early');
    await eventually('it was refused', async () => stream.failure !== undefined);
    expect(stream.failure).toMatchObject({ message: 'publication "early" does not exist', code: '42704' });
  });

  test.each([
    ['TRUNCATE rewritten'],
    ['ALTER TABLE rewritten ALTER COLUMN b TYPE bigint USING b::bigint'],
    ['ALTER TABLE rewritten DROP CONSTRAINT rewritten_pkey, ADD PRIMARY KEY (b)'],
    ['ALTER TABLE rewritten ADD COLUMN c uuid DEFAULT gen_random_uuid()'],
  ])('%s is refused as long as the database has a slot', async (sql) => {
    const client = await session();
    await client.query('DROP TABLE IF EXISTS rewritten');
    await client.query('CREATE TABLE rewritten (a int PRIMARY KEY, b text NOT NULL)');
    await client.query("SELECT pg_create_logical_replication_slot('in_the_way', 'yboutput')");
    await expect(client.query(sql)).rejects.toMatchObject({
      code: '42P16',
      message:
        'Invalid table definition: Error creating table postgres.rewritten on the master: cannot rewrite a table that is a part of CDC or XCluster replication. See https://github.com/yugabyte/yugabyte-db/issues/16625.',
    });
    await client.query('ALTER TABLE rewritten ADD COLUMN d int');
    await client.query("SELECT pg_drop_replication_slot('in_the_way')");
    await client.query(sql);
  });

  test('DROP TABLE goes through, and takes what nobody has read with it', async () => {
    const { client, stream } = await streaming(
      'dropped',
      [
        'CREATE TABLE dropped (a int PRIMARY KEY)',
        'CREATE TABLE kept (a int PRIMARY KEY)',
        'CREATE PUBLICATION dropped FOR TABLE dropped, kept',
      ],
      { start: false },
    );
    await client.query('INSERT INTO dropped VALUES (1)');
    await client.query('DROP TABLE dropped');
    await client.query('INSERT INTO kept VALUES (2)');
    stream.start('dropped', 'dropped');
    expect(rows(await received(stream, 1))).toEqual([['I', undefined, ['2']]]);
  });

  test('a second consumer of a slot is not refused, and both get everything; there is a cap on all of them', async () => {
    const { client, stream } = await streaming('shared', [
      'CREATE TABLE shared (a int PRIMARY KEY)',
      'CREATE PUBLICATION shared FOR TABLE shared',
    ]);
    const second = await replication();
    second.start('shared', 'shared');
    await client.query('INSERT INTO shared VALUES (1)');
    expect(rows(await received(stream, 1))).toEqual(rows(await received(second, 1)));
    proxy.slots.settings = { ...proxy.slots.settings, maxVirtualWals: 2 };
    const third = await replication();
    third.start('shared', 'shared');
    await eventually('it was refused', async () => third.failure !== undefined);
    expect(third.failure?.message).toContain('max capacity reached');
    proxy.slots.settings = { ...proxy.slots.settings, maxVirtualWals: 5 };
  });

  test('a slot can not be dropped until nobody has polled it for a while', async () => {
    proxy.slots.settings = { ...proxy.slots.settings, activeWindowMs: 1500 };
    const { client, stream } = await streaming('busy', [
      'CREATE TABLE busy (a int PRIMARY KEY)',
      'CREATE PUBLICATION busy FOR TABLE busy',
    ]);
    const drop = () => client.query("SELECT pg_drop_replication_slot('busy')");
    const active =
      "SELECT active, active_pid IS NOT NULL AS held FROM pg_replication_slots WHERE slot_name = 'busy'";
    await eventually('it is active', async () => (await client.query(active)).rows[0]?.held === true);
    await expect(drop()).rejects.toMatchObject({
      code: '55006',
      message: 'replication slot "busy" is active',
    });
    await stream.end();
    const other = await replication();
    await expect(other.command('DROP_REPLICATION_SLOT busy')).rejects.toThrow(
      'replication slot "busy" is active',
    );
    expect((await client.query(active)).rows[0]).toEqual({ active: true, held: false });
    await eventually('it is free', async () => (await client.query(active)).rows[0]?.active === false);
    await drop();
    await expect(drop()).rejects.toMatchObject({
      code: '42704',
      message: 'replication slot "busy" does not exist',
    });
    proxy.slots.settings = { ...proxy.slots.settings, activeWindowMs: 0 };
  });

  test('a slot whose changes are gone fails at the next read; one in good health says the same at times; one may say nothing', async () => {
    const { client, stream } = await streaming('gone', [
      'CREATE TABLE gone (a int PRIMARY KEY)',
      'CREATE PUBLICATION gone FOR TABLE gone',
    ]);
    proxy.slots.expire('gone', 1);
    const text = /^CDCSDK Trying to fetch already GCed intents for transaction [0-9a-f-]{36}$/;
    await eventually('it failed', async () => stream.failure !== undefined);
    expect(stream.failure?.message).toMatch(text);
    await client.query('INSERT INTO gone VALUES (1)');
    const second = await replication();
    second.start('gone', 'gone');
    await received(second, 1);
    proxy.slots.expire('gone');
    await eventually('it failed', async () => second.failure !== undefined);
    const third = await replication();
    third.start('gone', 'gone');
    await eventually('it failed again', async () => third.failure !== undefined);
    expect(third.failure?.message).toMatch(text);
    expect(
      await value(client, "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'gone'"),
    ).toBeNull();
    proxy.slots.expire('gone', 0);
    proxy.slots.stall('gone');
    const fourth = await replication();
    fourth.start('gone', 'gone');
    await answers(fourth);
    expect(fourth.transactions()).toEqual([]);
  });

  test('what was acknowledged is not sent again, whatever is asked for; what was never sent can be acknowledged, and is lost', async () => {
    const { client, stream } = await streaming('confirmed', [
      'CREATE TABLE confirmed (a int PRIMARY KEY)',
      'CREATE PUBLICATION confirmed FOR TABLE confirmed',
    ]);
    await client.query('INSERT INTO confirmed VALUES (1)');
    await client.query('INSERT INTO confirmed VALUES (2)');
    const [one, two] = await received(stream, 2);
    stream.feedback(two?.lsn ?? 0n);
    await stream.end();
    await client.query('INSERT INTO confirmed VALUES (3)');
    const again = await replication();
    again.start('confirmed', 'confirmed', lsnText((one?.lsn ?? 1n) - 1n));
    const [three] = await received(again, 1);
    expect(rows(again.transactions())).toEqual([['I', undefined, ['3']]]);
    // An hour ahead.
    again.feedback((three?.lsn ?? 0n) + (3_600_000_000n << 12n));
    await again.end();
    await client.query('INSERT INTO confirmed VALUES (4)');
    const third = await replication();
    third.start('confirmed', 'confirmed');
    await answers(third);
    await client.query('INSERT INTO confirmed VALUES (5)');
    const other = await streaming('meanwhile', ['CREATE PUBLICATION meanwhile FOR TABLE confirmed']);
    await client.query('INSERT INTO confirmed VALUES (6)');
    await received(other.stream, 1);
    expect(third.transactions()).toEqual([]);
  });

  test('a stream may begin at any hybrid time that is there', async () => {
    const { client, stream } = await streaming(
      'anywhere',
      ['CREATE TABLE anywhere (a int PRIMARY KEY)', 'CREATE PUBLICATION anywhere FOR TABLE anywhere'],
      { start: false },
    );
    await client.query('INSERT INTO anywhere VALUES (1)');
    const from = BigInt(String(await value(client, 'SELECT yb_get_current_hybrid_time_lsn()')));
    await client.query('INSERT INTO anywhere VALUES (2)');
    stream.start('anywhere', 'anywhere', lsnText(from));
    expect(rows(await received(stream, 1))).toEqual([['I', undefined, ['2']]]);
    await client.query(`SET yb_read_time TO '${from} ht'`);
    expect(await value(client, 'SELECT array_agg(a) FROM anywhere')).toEqual([1]);
  });

  test('there are ten slots in a cluster, a name is one of the cluster, and a slot is read in its own database', async () => {
    const client = await session();
    await client.query('CREATE DATABASE neighbour');
    const url = new URL(proxy.url);
    url.pathname = 'neighbour';
    const neighbour = await session(url.href);
    for (let number = 0; number < 9; number += 1) {
      await client.query('SELECT pg_create_logical_replication_slot($1, $2)', [`ten_${number}`, 'yboutput']);
    }
    const create = (name: string) =>
      neighbour.query('SELECT pg_create_logical_replication_slot($1, $2)', [name, 'yboutput']);
    await expect(create('ten_3')).rejects.toMatchObject({
      code: '42710',
      message: 'replication slot "ten_3" already exists',
    });
    await create('ten_9');
    await expect(create('eleven')).rejects.toMatchObject({
      code: '53400',
      message: 'all replication slots are in use',
      hint: 'Free one or increase max_replication_slots.',
    });
    await neighbour.query('CREATE PUBLICATION all_of_it FOR ALL TABLES');
    const stream = await replication(url.href);
    stream.start('ten_0', 'all_of_it');
    await eventually('it was refused', async () => stream.failure !== undefined);
    expect(stream.failure?.message).toBe('replication slot "ten_0" was not created in this database');
    await client.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');
  });

  test.each([
    [
      "SELECT pg_create_logical_replication_slot('x', 'yboutput', true)",
      'Temporary replication slot is not yet supported',
    ],
    ["SELECT pg_create_physical_replication_slot('x')", 'YSQL only supports logical replication slots'],
    ["SELECT * FROM pg_logical_slot_peek_changes('x', NULL, NULL)", 'invalid record offset'],
    ['SELECT txid_current()', 'Yugabyte does not support xid'],
    ['SELECT pg_catalog.pg_current_xact_id()', 'Yugabyte does not support xid'],
  ])('%s is refused', async (sql, message) => {
    const client = await session();
    await expect(client.query(sql)).rejects.toThrow(message);
  });

  test('a position in the WAL says nothing, and a message that is emitted goes nowhere', async () => {
    const { client, stream } = await streaming('silent', [
      'CREATE TABLE silent (a int PRIMARY KEY)',
      'CREATE PUBLICATION silent FOR TABLE silent',
    ]);
    const before = await value(client, 'SELECT pg_current_wal_lsn()');
    await client.query("SELECT pg_logical_emit_message(true, 'here', 'I am')");
    await client.query('INSERT INTO silent VALUES (1)');
    await received(stream, 1);
    expect(await value(client, 'SELECT pg_current_wal_lsn()')).toBe(before);
    expect(stream.messages.map(({ type }) => type)).toEqual(['B', 'R', 'I', 'C']);
    expect(await (await replication()).command('IDENTIFY_SYSTEM')).toMatchObject({ dbname: 'postgres' });
  });

  test('who may neither replicate nor all may not make a slot; words that the grammar has are refused one by one', async () => {
    const client = await session();
    await client.query("CREATE ROLE plain_user LOGIN PASSWORD 'x'");
    await client.query('SET ROLE plain_user');
    await expect(
      client.query("SELECT pg_create_logical_replication_slot('x', 'yboutput')"),
    ).rejects.toMatchObject({
      code: '42501',
      message: 'must be superuser or replication role to use replication slots',
    });
    const stream = await replication();
    const command = (sql: string) => stream.command(sql);
    await expect(command('CREATE_REPLICATION_SLOT x LOGICAL yboutput EXPORT_SNAPSHOT')).rejects.toThrow(
      'Exporting snapshot is not yet supported',
    );
    await expect(command('CREATE_REPLICATION_SLOT x TEMPORARY LOGICAL yboutput')).rejects.toThrow(
      'Temporary replication slot',
    );
    await expect(command('CREATE_REPLICATION_SLOT x PHYSICAL')).rejects.toThrow('YSQL only supports logical');
    await expect(command('DROP_REPLICATION_SLOT x WAIT')).rejects.toThrow('Waiting for a replication slot');
    expect(await command('CREATE_REPLICATION_SLOT bare LOGICAL yboutput NOEXPORT_SNAPSHOT')).toMatchObject({
      snapshot_name: null,
    });
    expect(
      await command(
        "CREATE_REPLICATION_SLOT newer LOGICAL yboutput (SNAPSHOT 'use', LSN_TYPE 'HYBRID_TIME')",
      ),
    ).toMatchObject({
      slot_name: 'newer',
    });
    expect(await command('SHOW server_version')).toBeDefined();
  });

  test('the publication that the stand-in reads by is not there for a client', async () => {
    const { client } = await streaming('hidden', ['CREATE PUBLICATION hidden FOR ALL TABLES']);
    expect(
      await value(client, 'SELECT array_agg(p.pubname::text) FROM pg_catalog.pg_publication p'),
    ).toContain('hidden');
    expect(await value(client, "SELECT count(*)::int FROM pg_publication WHERE pubname LIKE 'yb_%'")).toBe(0);
    expect(
      await value(client, "SELECT count(*)::int FROM pg_publication_tables WHERE pubname LIKE 'yb_%'"),
    ).toBe(0);
    await client.query('DROP PUBLICATION hidden');
  });

  test('what was rolled back to a savepoint is sent as if it had been committed', async () => {
    const { client, stream } = await streaming('savepoints', [
      'CREATE TABLE savepoints (a int PRIMARY KEY, b text)',
      'CREATE PUBLICATION savepoints FOR TABLE savepoints',
    ]);
    await client.query('BEGIN');
    await client.query("INSERT INTO savepoints VALUES (1, 'kept')");
    await client.query('SAVEPOINT here');
    await client.query("INSERT INTO savepoints VALUES (2, 'rolled back')");
    await client.query('ROLLBACK TO SAVEPOINT here');
    await client.query('COMMIT');
    expect(
      rows(await received(stream, 1))
        .map((row) => JSON.stringify(row))
        .sort(),
    ).toEqual(['["I",null,["1","kept"]]', '["I",null,["2","rolled back"]]']);
    expect(await value(client, 'SELECT count(*)::int FROM savepoints')).toBe(1);
  });

  test('a dump has what a client made, and nothing of what the stand-in needs', async () => {
    const { client } = await streaming(
      'dumped',
      [
        'CREATE TABLE dumped_c (a int PRIMARY KEY)',
        'CREATE TABLE dumped_f (a int PRIMARY KEY)',
        'ALTER TABLE dumped_f REPLICA IDENTITY FULL',
        'INSERT INTO dumped_c VALUES (70007)',
        'CREATE PUBLICATION dumped FOR TABLE dumped_c',
      ],
      { start: false },
    );
    const folder = await mkdtemp(join(tmpdir(), 'ysql-tools-'));
    const tools = join(await writeYsqlTools(folder, postgres.binDirectory, '2025.2'), '../postgres/bin');
    const at = String(
      await value(client, 'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint'),
    );
    await client.query('INSERT INTO dumped_c VALUES (80008)');
    const { stdout } = await promisify(execFile)(join(tools, 'ysql_dump'), [
      `--dbname=${proxy.url}`,
      `--read-time=${at}`,
    ]);
    const words = stdout.split('\n');
    expect(words.filter((line) => line.includes('REPLICA IDENTITY') && line.includes('dumped_'))).toEqual([
      'ALTER TABLE ONLY public.dumped_f REPLICA IDENTITY FULL;',
    ]);
    expect(
      words.filter((line) => line.startsWith('CREATE PUBLICATION') && line.includes('dump')),
    ).toHaveLength(1);
    expect(stdout).not.toContain('yb_stand_in');
    expect(stdout).not.toContain('yb_feed');
    expect(words).toContain('70007');
    expect(words).not.toContain('80008');
    await rm(folder, { recursive: true });
  });
});
