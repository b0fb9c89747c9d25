import { quietVerb } from '../../engines/quiet-verb.ts';
import { readCatalogRelations } from '../../engines/universe/accounting.ts';
import { checkNoneDropped } from '../../engines/universe/dropped-tables.ts';
import type { SnapshotObject } from '../../engines/universe/yb-admin/snapshots.ts';
import { parseConnectionUrl } from '../../engines/ysql/server/connection-url.ts';
import { withSession } from '../../engines/ysql/server/session.ts';
import type { DatabaseSnapshot } from '../../model/backup.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { startYsqlProxy, type YsqlProxy } from '../proxy/proxy.ts';
import { query } from '../support/sql.ts';

/* A table of the snapshot that the catalogue as of the snapshot does not know: was it dropped just then, or is it lost? */

let postgres: PostgresServer;
let proxy: YsqlProxy;

beforeAll(async () => {
  postgres = await startPostgres();
  proxy = await startYsqlProxy({ upstreamUrl: postgres.url(), firstNamingMs: 60_000 });
  await query(postgres.url(), 'CREATE DATABASE shop');
});

afterAll(async () => {
  await proxy?.stop();
  await postgres?.stop();
});

const SNAPSHOT_TIME = '2026-11-29T12:00:00.000000Z';

interface Case {
  /** What the catalog version is now; it was 7. */
  readonly now?: string;
  readonly scheduled?: boolean;
  readonly snapshotTime?: string;
  readonly afterwards?: readonly string[];
}

/** Asks about the table `goods` as of now, after the statements have run. */
async function check({
  now = '7',
  scheduled = false,
  snapshotTime = SNAPSHOT_TIME,
  afterwards = [],
}: Case): Promise<readonly string[]> {
  const url = new URL(proxy.url);
  url.pathname = 'shop';
  const target = parseConnectionUrl(url.href);
  const logged: string[] = [];
  const context = {
    ...quietVerb(() => Promise.resolve('')),
    log: (message: string) => logged.push(message),
  };
  await query(postgres.url('shop'), 'DROP TABLE IF EXISTS goods', 'CREATE TABLE goods (id int)');
  const oid = "SELECT to_hex('goods'::regclass::oid::int) AS oid";
  const rows = (await query(postgres.url('shop'), oid)) as readonly { readonly oid: string }[];
  const id = `0000406100003000800000000000${rows[0]?.oid.padStart(4, '0')}`;
  const goods: SnapshotObject = { type: 'TABLE', id, name: 'goods', colocated: false };
  if (snapshotTime !== SNAPSHOT_TIME) {
    const before = BigInt(Date.parse(snapshotTime) - 10_000) * 1_000n;
    await query(url.href, `SET yb_read_time = ${before}`, 'SELECT 1');
  }
  await query(postgres.url('shop'), 'SELECT 1', ...afterwards);
  const database: DatabaseSnapshot = {
    ...{ database: 'shop', api: 'ysql', catalogVersion: '7', snapshotTime },
    ...(scheduled ? { history: { schedule: 's', from: snapshotTime } } : {}),
  };
  const present = await withSession(target, 'shop', context.signal, readCatalogRelations);
  const admin = { settings: { masters: [] }, run: () => Promise.resolve(`Version: ${now}\n`) };
  await checkNoneDropped({ context, universe: { admin }, database }, target, [goods], present);
  return logged;
}

const dropped = ['DROP TABLE goods'];

test.each<readonly [string, () => Case, RegExp]>([
  ['it is there now: it was created just then', () => ({}), /goods .* it is there now/],
  ['the catalog version rose', () => ({ now: '8', afterwards: dropped }), /goods .*from 7 to 8/],
  [
    'it was there before, whatever the version says',
    () => ({ snapshotTime: new Date().toISOString(), afterwards: dropped }),
    /goods .* was there shortly before/,
  ],
  [
    'it was truncated, so that it has other files',
    () => ({ snapshotTime: new Date().toISOString(), afterwards: ['TRUNCATE goods'] }),
    /goods .* was there shortly before/,
  ],
  [
    'of a schedule it was there before',
    () => ({ now: '9', scheduled: true, snapshotTime: new Date().toISOString(), afterwards: dropped }),
    /goods .* was there shortly before/,
  ],
])('another snapshot is taken where %s', async (_what, makeCase, says) => {
  await expect(check(makeCase())).rejects.toMatchObject({
    code: 'READ_POINT_LOST',
    message: expect.stringMatching(says),
  });
});

test('a table that no catalogue has ever known is left to be told by its name, and that the past can’t be read is logged', async () => {
  expect(await check({ afterwards: dropped })).toEqual([
    expect.stringContaining('before the snapshot can’t be read'),
  ]);
});
