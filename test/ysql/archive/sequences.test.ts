import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { readSequences } from '../../../engines/ysql/archive/sample.ts';
import { parseConnectionUrl } from '../../../engines/ysql/server/connection-url.ts';
import { withSession } from '../../../engines/ysql/server/session.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { query } from '../../support/sql.ts';

let postgres: PostgresServer;
let other: Client;

beforeAll(async () => {
  postgres = await startPostgres();
  other = new Client({ connectionString: postgres.url() });
  await other.connect();
});
afterAll(async () => {
  await other?.end();
  await postgres?.stop();
});

const STAYS = { schema: 'public', name: 'stays', lastValue: '7' };

/** Reads while a transaction of somebody else has done this, and ends it `afterMs` later. */
async function readWhile(afterMs: number, ...statements: readonly string[]) {
  await query(
    postgres.url(),
    'DROP SEQUENCE IF EXISTS goes, stays',
    'CREATE SEQUENCE goes',
    'CREATE SEQUENCE stays',
  );
  await query(postgres.url(), "SELECT setval('stays', 7)");
  for (const statement of ['BEGIN', ...statements]) await other.query(statement);
  const { signal } = new AbortController();
  return await withSession(parseConnectionUrl(postgres.url()), 'postgres', signal, async (session) => {
    const reading = readSequences(session);
    reading.catch(() => undefined);
    await sleep(afterMs);
    await other.query('COMMIT');
    return await reading;
  });
}

test('a sequence that is dropped while all are read is left out', async () => {
  expect(await readWhile(300, 'DROP SEQUENCE goes')).toEqual([STAYS]);
});

test('sequences are not waited for while a long transaction has one locked', async () => {
  expect(await readWhile(6_000, 'ALTER SEQUENCE goes RESTART')).toBeUndefined();
});
