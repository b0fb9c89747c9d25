import { quietVerb } from '../../engines/quiet-verb.ts';
import { checkSchemaStands, presentFingerprint } from '../../engines/universe/schema-stands.ts';
import { parseConnectionUrl } from '../../engines/ysql/server/connection-url.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { startYsqlProxy, type YsqlProxy } from '../proxy/proxy.ts';
import { query } from '../support/sql.ts';

/* The dump of a universe's database is of the present where the program can't do better; is it still the snapshot's? */

let postgres: PostgresServer;
let proxy: YsqlProxy;

beforeAll(async () => {
  postgres = await startPostgres();
  proxy = await startYsqlProxy({ upstreamUrl: postgres.url() });
});

beforeEach(async () => {
  await query(postgres.url(), 'DROP DATABASE IF EXISTS shop WITH (FORCE)', 'CREATE DATABASE shop');
  await query(postgres.url('shop'), 'CREATE TABLE goods AS SELECT generate_series(1, 9) AS id');
});

afterAll(async () => {
  await proxy?.stop();
  await postgres?.stop();
});

/** What `checkSchemaStands` says where `statements` ran after the snapshot, and the catalog version rose. */
async function check(
  statements: readonly string[],
  when: 'before the dump' | 'during the dump',
): Promise<void> {
  const url = new URL(proxy.url);
  url.pathname = 'shop';
  const target = parseConnectionUrl(url.href);
  const context = quietVerb(() => Promise.resolve(''));
  // Whoever asks for the universe's version hears one that isn't the snapshot's.
  const admin = { settings: { masters: [] }, run: () => Promise.resolve('Version: 8\n') };
  const snapshotTime = new Date().toISOString();
  const instant = `SET yb_read_time = ${BigInt(Date.parse(snapshotTime)) * 1000n}`;
  await query(url.href, instant, 'SELECT 1');
  const database = { database: 'shop', api: 'ysql', catalogVersion: '7', snapshotTime } as const;
  const exporting = { context, universe: { admin }, database };
  if (when === 'before the dump') await query(postgres.url('shop'), ...statements);
  const before = await presentFingerprint(exporting, target);
  if (when === 'during the dump') await query(postgres.url('shop'), ...statements);
  await checkSchemaStands(exporting, target, before);
}

test.each(['before the dump', 'during the dump'] as const)('ANALYZE %s costs no snapshot', async (when) => {
  await check(['ANALYZE goods', 'CREATE TEMP TABLE passing (a int)'], when);
});

test.each([
  ['a new column', 'ALTER TABLE goods ADD COLUMN name text', 'before the dump'],
  ['a new column', 'ALTER TABLE goods ADD COLUMN name text', 'during the dump'],
  ['a new table', 'CREATE TABLE more (a int)', 'during the dump'],
  ['other files of a table', 'TRUNCATE goods', 'before the dump'],
] as const)('%s (%s) %s does', async (_what, sql, when) => {
  await expect(check([sql], when)).rejects.toMatchObject({ code: 'READ_POINT_LOST' });
});
