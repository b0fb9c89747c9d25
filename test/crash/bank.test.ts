import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { eventually } from '../support/processes.ts';
import { differences, openBank, type Progress, Writers } from './bank.ts';

let postgres: PostgresServer;
let writers: Writers;

beforeAll(async () => {
  postgres = await startPostgres();
  await execute('postgres', 'CREATE DATABASE bank');
  await openBank(postgres.url('bank'), { megabytes: 2 });
  writers = new Writers(postgres.url('bank'), 1);
  await eventually('both writers write', async () => sum(writers.committed()) > 50);
});

afterAll(async () => {
  await writers.stop();
  await postgres.stop();
});

async function execute(database: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: postgres.url(database) });
  await client.connect();
  await client.query(sql);
  await client.end();
}

function sum(progress: Progress): number {
  return [...progress.values()].reduce((total, one) => total + one, 0);
}

/** Dumps the bank into a new database: at one instant, or its rows table by table while the writers go on. */
async function copyBank(name: string, how: 'at once' | 'table by table') {
  const before = writers.committed();
  await execute('postgres', `CREATE DATABASE ${name}`);
  const tables = [
    'bank.current',
    'bank.savings',
    'bank.ledger',
    'bank.statements',
    'bank."small ""one"""',
    'bank.empty',
  ];
  const rounds =
    how === 'at once'
      ? [[]]
      : [
          ['--section=pre-data'],
          ...tables.map((table) => ['--data-only', '-t', table]),
          ['--data-only', '-t', 'bank.ledger_id_seq'],
          ['--section=post-data'],
        ];
  for (const options of rounds) {
    const dump = join(postgres.binDirectory, 'pg_dump');
    const { stdout } = await promisify(execFile)(
      dump,
      [...options, '--inserts', '--rows-per-insert=500', `--dbname=${postgres.url('bank')}`],
      { maxBuffer: 2 ** 28 },
    );
    await execute(name, stdout.replaceAll(/^\\.*$/gm, ''));
    const seen = sum(writers.committed());
    await eventually('the writers go on', async () => sum(writers.committed()) > seen + 20);
  }
  return { before, after: writers.committed() };
}

test('a copy of one instant has no differences', async () => {
  const between = await copyBank('whole', 'at once');
  expect(await differences(postgres.url('bank'), postgres.url('whole'), between)).toEqual([]);
});

test('a torn copy, a lost row, a doubled transfer and a changed byte are all seen', async () => {
  const between = await copyBank('torn', 'table by table');
  expect(await differences(postgres.url('bank'), postgres.url('torn'), between)).toEqual(
    expect.arrayContaining([expect.stringContaining('are not what the ledger makes them')]),
  );
  const seen = async (sql: string) => {
    const name = `damaged_${Math.random().toString(36).slice(2)}`;
    await execute('postgres', `CREATE DATABASE ${name} TEMPLATE whole`);
    await execute(name, sql);
    return (
      await differences(postgres.url('bank'), postgres.url(name), {
        before: new Map([[0, 1]]),
        after: new Map([[0, 1e6]]),
      })
    ).length;
  };
  expect(await seen('SELECT 1')).toBe(0);
  expect(await seen('DELETE FROM bank.statements WHERE id = 7')).toBeGreaterThan(0);
  expect(await seen("UPDATE bank.statements SET raw = '\\x00' WHERE id = 7")).toBeGreaterThan(0);
  expect(await seen('UPDATE bank.current SET balance = balance + 1 WHERE id = 7')).toBeGreaterThan(0);
  expect(await seen('DELETE FROM bank.ledger WHERE writer = 0 AND number = 3')).toBeGreaterThan(0);
  expect(await seen("SELECT setval('bank.ledger_id_seq', 1)")).toBeGreaterThan(0);
});
