import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { eventually } from '../support/processes.ts';
import { TESTED_LINES } from '../ysql/yugabyte-stand-in.ts';
import { CLIENT_LINES } from './client-lines.ts';
import { startYsqlProxy, type YsqlProxy } from './proxy.ts';
import { writeYsqlTools } from './tools.ts';

const ACCOUNTS = 200;
const TOTAL = ACCOUNTS * 100;

let postgres: PostgresServer;
let proxy: YsqlProxy;
const open: Client[] = [];

async function session(options: { options?: string; url?: string } = {}): Promise<Client> {
  const client = new Client({
    connectionString: options.url ?? proxy.url,
    ...(options.options && { options: options.options }),
  });
  await client.connect();
  client.on('error', () => open.splice(open.indexOf(client), 1));
  open.push(client);
  return client;
}

async function now(client: Client): Promise<string> {
  const found = await client.query<{ now: string }>(
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now',
  );
  return found.rows[0]?.now ?? '';
}

async function value(client: Client, sql: string, values?: readonly unknown[]): Promise<unknown> {
  const found = await client.query({ text: sql, rowMode: 'array', ...(values && { values: [...values] }) });
  return found.rows[0]?.[0];
}

async function copied(client: Client, sql: string): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of client.query(copyTo(sql))) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/**
 * Moves money between accounts until `stop`; the sum never changes. It locks the account with the lower number first, since
 * otherwise two writers in opposite directions could deadlock.
 */
async function transfers(stop: AbortSignal): Promise<void> {
  const client = await session({ url: postgres.url() });
  const account = () => Math.ceil(Math.random() * ACCOUNTS);
  const move = 'UPDATE accounts SET balance = balance + $2 WHERE id = $1';
  while (!stop.aborted) {
    const [one, other] = [account(), account()];
    const amount = Math.random() < 0.5 ? 1 : -1;
    await client.query('BEGIN');
    await client.query(move, [Math.min(one, other), amount]);
    await client.query(move, [Math.max(one, other), -amount]);
    await client.query('COMMIT');
  }
}

describe.each(TESTED_LINES)('as YugabyteDB %s', (line) => {
  const { version } = CLIENT_LINES[line];
  beforeAll(async () => {
    postgres = await startPostgres({ version: CLIENT_LINES[line].major });
    proxy = await startYsqlProxy({ upstreamUrl: postgres.url(), line });
    const client = await session();
    await client.query('CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL)');
    await client.query('INSERT INTO accounts SELECT id, 100 FROM generate_series(1, $1::int) id', [ACCOUNTS]);
  });

  afterEach(async () => {
    await Promise.all(open.splice(0).map((client) => client.end()));
  });

  afterAll(async () => {
    await proxy.stop();
    await postgres.stop();
  });

  test('it says that it is YugabyteDB, and a function body that asks keeps its text', async () => {
    const client = await session();
    expect(await value(client, 'SELECT version()')).toContain(`PostgreSQL ${version} on`);
    expect(await value(client, 'SELECT pg_catalog.version() WHERE $1::int = 1', [1])).toMatch(/-YB-/);
    expect(await value(client, 'SHOW server_version')).toBe(version);
    expect(await value(client, "SELECT current_setting('server_version')")).toMatch(/-YB-/);
    expect(await value(client, "SELECT 'version()'")).toBe('version()');
    await client.query('CREATE VIEW pg_temp.v AS SELECT version()');
    expect(await value(client, "SELECT pg_get_viewdef('pg_temp.v'::regclass)")).toContain('version()');
  });
  test('first key column is a hash column, as the catalogue and yb_table_properties say', async () => {
    const client = await session();
    expect(
      await value(client, "SELECT indoption[0] & 4 FROM pg_index WHERE indrelid = 'accounts'::regclass"),
    ).toBe(4);
    expect(
      await value(client, "SELECT num_hash_key_columns FROM yb_table_properties('accounts'::regclass)"),
    ).toBe('1');
    expect(await value(client, 'SELECT node_type FROM yb_servers()')).toBe('primary');
  });
  test('ranges of yb_hash_code cut a table into parts that together are the table', async () => {
    const client = await session();
    const parts: string[] = [];
    for (const [from, to] of [
      [0, 16383],
      [16384, 40000],
      [40001, 65535],
    ]) {
      const part = await copied(
        client,
        `COPY (SELECT * FROM accounts WHERE yb_hash_code("id") >= ${from} AND yb_hash_code("id") <= ${to}) TO STDOUT`,
      );
      expect(part).not.toBe('');
      parts.push(part);
    }
    const lines = parts.join('').split('\n').sort();
    expect(lines).toEqual((await copied(client, 'COPY accounts TO STDOUT')).split('\n').sort());
    expect(await value(client, "SELECT yb_hash_code(1, 'a'::text) BETWEEN 0 AND 65535")).toBe(true);
  });
  describe('reading as of an instant', () => {
    test('every session that names it reads the same rows while others write', async () => {
      const stop = new AbortController();
      const writers = [transfers(stop.signal), transfers(stop.signal)];
      const first = await session();
      const instant = await now(first);
      await first.query(`SET yb_read_time TO ${instant}`);
      const before = await copied(first, 'COPY (SELECT * FROM accounts ORDER BY id) TO STDOUT');
      await sleep(300);
      const second = await session({ options: `-c yb_read_time=${instant}` });
      expect(await copied(second, 'COPY (SELECT * FROM accounts ORDER BY id) TO STDOUT')).toBe(before);
      expect(await value(second, 'SELECT sum(balance)::int FROM accounts WHERE id > $1', [0])).toBe(TOTAL);
      const third = await session();
      await third.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      await third.query(`SET LOCAL yb_read_time = '${instant}'`);
      expect(await copied(third, 'COPY (SELECT * FROM accounts ORDER BY id) TO STDOUT')).toBe(before);
      await third.query('COMMIT');
      expect(await copied(third, 'COPY (SELECT * FROM accounts ORDER BY id) TO STDOUT')).not.toBe(before);
      await first.query('SET yb_read_time = 0');
      expect(await copied(first, 'COPY (SELECT * FROM accounts ORDER BY id) TO STDOUT')).not.toBe(before);
      stop.abort();
      await Promise.all(writers);
    });
    test('SET gives a notice, SHOW the value, and RESET, ROLLBACK and set_config do what they do to a setting', async () => {
      const client = await session();
      const notices: string[] = [];
      client.on('notice', (said) => notices.push(said.message ?? ''));
      const instant = await now(client);
      await client.query(`SET yb_read_time = ${instant}`);
      expect(notices).toEqual([
        expect.stringContaining('yb_read_time should only be set for read-only queries'),
      ]);
      expect(await value(client, 'SHOW yb_read_time')).toBe(instant);
      await client.query('RESET yb_read_time');
      expect(await value(client, "SELECT current_setting('yb_read_time')")).toBe('0');
      await client.query('BEGIN');
      await client.query(`SET yb_read_time = ${instant}`);
      await client.query('ROLLBACK');
      expect(await value(client, 'SHOW yb_read_time')).toBe('0');
      await client.query("SELECT set_config('yb_read_time', $1, false)", [instant]);
      await client.query('BEGIN; SELECT 1; COMMIT');
      await expect(client.query('DELETE FROM accounts')).rejects.toThrow(
        'Write DML operation can not be performed',
      );
    });
    test.each([
      ['a word', 'soon', /invalid value for parameter "yb_read_time": "soon"/],
      ['the future', String((Date.now() + 3600_000) * 1000), /invalid value/],
    ])('%s is refused', async (_, text, error) => {
      const client = await session();
      await expect(client.query(`SET yb_read_time = '${text}'`)).rejects.toThrow(error);
      expect(await value(client, 'SELECT 1')).toBe(1);
    });
    test('writing is refused, in a transaction too, and works again afterwards', async () => {
      const client = await session();
      const instant = await now(client);
      await client.query(`SET yb_read_time = ${instant}`);
      const refusal = 'Write DML operation can not be performed while yb_read_time is set to nonzero';
      await expect(client.query('UPDATE accounts SET balance = 0')).rejects.toThrow(refusal);
      await expect(client.query('UPDATE accounts SET balance = $1', [0])).rejects.toThrow(refusal);
      await client.query('BEGIN');
      await expect(client.query('CREATE TABLE t ()')).rejects.toThrow(refusal);
      await client.query('ROLLBACK');
      await client.query('SET yb_read_time = 0');
      await client.query('UPDATE accounts SET balance = balance');
    });
    test('an instant before the history is too old, and the session is of no use afterwards', async () => {
      const client = await session();
      await client.query(`SET yb_read_time = ${(Date.now() - 3600_000) * 1000}`);
      const error =
        /Snapshot too old\. Read point: \{ physical: \d+ \}, earliest read time allowed: \{ physical: \d+ \}, delta \(usec\): \d+: kSnapshotTooOld/;
      await expect(client.query('SELECT * FROM accounts')).rejects.toThrow(error);
      await expect(client.query('SELECT $1::int', [1])).rejects.toThrow(error);
      await expect(client.query('RESET yb_read_time')).rejects.toThrow(error);
      const other = await session();
      expect(await value(other, 'SELECT count(*)::int FROM accounts')).toBe(ACCOUNTS);
    });
    test('when the session that keeps its snapshot is gone it is too old', async () => {
      const client = await session();
      const instant = await now(client);
      await client.query(`SET yb_read_time = ${instant}`);
      expect(await value(client, 'SELECT count(*)::int FROM accounts')).toBe(ACCOUNTS);
      const admin = await session({ url: postgres.url() });
      await admin.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'yugabytedb history'",
      );
      const left = "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'yugabytedb history'";
      await eventually('the sessions are gone', async () => (await value(admin, left)) === 0);
      await expect(client.query('SELECT count(*) FROM accounts')).rejects.toThrow('kSnapshotTooOld');
    });
    test('a database can be renamed and dropped although its past was read', async () => {
      const client = await session();
      await client.query('CREATE DATABASE proxied');
      const url = new URL(proxy.url);
      url.pathname = 'proxied';
      const inside = await session({ url: url.href });
      await inside.query(`SET yb_read_time = ${await now(inside)}`);
      expect(await value(inside, 'SELECT 1')).toBe(1);
      open.splice(open.indexOf(inside), 1);
      await inside.end();
      await client.query('ALTER DATABASE proxied RENAME TO renamed');
      await client.query('DROP DATABASE renamed');
    });
  });
  test('COPY goes through both ways, with an option that only YugabyteDB has, and an error in it ends it', async () => {
    const client = await session();
    await client.query('CREATE TEMP TABLE copied (id int, filler text)');
    const rows = Array.from({ length: 50_000 }, (_, id) => `${id}\t${'x'.repeat(id % 200)}\n`);
    const into = client.query(copyFrom('COPY copied FROM STDIN WITH (ROWS_PER_TRANSACTION 0, FORMAT text)'));
    for (const row of rows) if (!into.write(row)) await once(into, 'drain');
    into.end();
    await once(into, 'finish');
    expect(await copied(client, 'COPY (SELECT * FROM copied ORDER BY id) TO STDOUT')).toBe(rows.join(''));
    const broken = client.query(copyFrom('COPY copied FROM STDIN'));
    broken.end('no number\tx\n');
    await expect(once(broken, 'finish')).rejects.toThrow('invalid input syntax');
    expect(await value(client, 'SELECT count(*)::int FROM copied')).toBe(rows.length);
  });
  test('a cancel request goes through it', async () => {
    const shell = spawn(join(postgres.binDirectory, 'psql'), [
      `--dbname=${proxy.url}`,
      '-c',
      'SELECT pg_sleep(60)',
    ]);
    const ended = once(shell, 'exit');
    let said = '';
    shell.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const client = await session();
    const running =
      "SELECT count(*)::int FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'";
    while ((await value(client, running)) === 0) await sleep(20);
    shell.kill('SIGINT');
    await ended;
    expect(said).toContain('canceling statement due to user request');
  });
  test('the stand-in of ysql_dump dumps the rows of an instant', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ysql-tools-'));
    const tools = join(await writeYsqlTools(folder, postgres.binDirectory, line), '../postgres/bin');
    const client = await session();
    const instant = await now(client);
    await client.query(`SET yb_read_time = ${instant}`);
    await client.query('SELECT 1');
    const writer = await session();
    await writer.query('UPDATE accounts SET balance = balance + 7 WHERE id = 1');
    const dump = await promisify(execFile)(join(tools, 'ysql_dump'), [
      `--dbname=${proxy.url}`,
      `--read-time=${instant}`,
      '--include-yb-metadata',
      '-t',
      'accounts',
    ]);
    const past = await copied(client, 'COPY (SELECT * FROM accounts ORDER BY id LIMIT 1) TO STDOUT');
    expect(dump.stdout.split('\n')).toContain(past.trim());
    expect(dump.stdout).toContain(`database version ${version}`);
    const said = await promisify(execFile)(join(tools, 'ysql_dump'), ['--version']);
    expect(said.stdout).toBe(`ysql_dump (YSQL) ${version}\n`);
    await writer.query('UPDATE accounts SET balance = balance - 7 WHERE id = 1');
    await rm(folder, { recursive: true });
  });
});
