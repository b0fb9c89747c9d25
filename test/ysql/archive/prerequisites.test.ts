import { quietVerb } from '../../../engines/quiet-verb.ts';
import { archiveSource } from '../../../engines/ysql/archive/archive-source.ts';
import { checkArchive } from '../../../engines/ysql/archive/prerequisites.ts';
import { replicationLimits } from '../../../engines/ysql/archive/yugabytedb-limits.ts';
import type { Check } from '../../../model/check.ts';
import type { YsqlSource } from '../../../model/pipeline.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { startYsqlProxy } from '../../proxy/proxy.ts';
import { query } from '../../support/sql.ts';
import { ysqlSource } from '../harness.ts';
import { archiveRequest } from './archiver.ts';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres({ settings: { wal_level: 'logical', max_replication_slots: '1' } });
});
afterAll(() => server.stop());

function looked(url: string, source: Partial<YsqlSource> = {}): Promise<readonly Check[]> {
  const verb = quietVerb(() => Promise.resolve(url));
  const { policy, plan } = archiveRequest('postgres', '/nowhere');
  return checkArchive(verb, ysqlSource(source), { plan, policy });
}

const failing = (checks: readonly Check[]) => checks.filter(({ ok }) => !ok);

it('doctor names what an archive of changes lacks, with the SQL to run', async () => {
  await query(
    server.url(),
    'CREATE ROLE weak LOGIN PASSWORD $$weak$$',
    'CREATE TABLE kept (id int PRIMARY KEY)',
    'CREATE TABLE "No Key" (a int)',
    'CREATE UNLOGGED TABLE passing (id int PRIMARY KEY)',
    'ALTER TABLE "No Key" OWNER TO weak',
    `SELECT pg_create_logical_replication_slot('taken', 'pgoutput')`,
  );
  const full = await looked(server.url());
  expect(failing(full).map(({ remedy }) => remedy)).toEqual([
    expect.stringContaining('max_replication_slots'),
  ]);
  await query(server.url(), `SELECT pg_drop_replication_slot('taken')`);
  const checks = await looked(server.url());
  expect(failing(checks)).toEqual([]);
  expect(checks.at(-1)).toMatchObject({
    detail: expect.stringContaining('1 table of postgres; not archived: public.No Key'),
    remedy: expect.stringContaining('ALTER TABLE "public"."No Key" REPLICA IDENTITY FULL;'),
  });
  expect(checks.map(({ detail }) => detail).join('\n')).toContain('max_slot_wal_keep_size is -1');

  const url = new URL(server.url());
  url.username = 'weak';
  url.password = 'weak';
  expect(failing(await looked(url.href)).map(({ remedy }) => remedy)).toEqual([
    'Run ALTER ROLE "weak" REPLICATION;',
    expect.stringContaining('REPLICA IDENTITY FULL'),
  ]);
});

it('doctor says in which of several databases to run what', async () => {
  await query(server.url(), 'CREATE DATABASE one', 'CREATE DATABASE two');
  for (const database of ['one', 'two']) {
    await query(server.url(database), 'CREATE TABLE t (id int PRIMARY KEY)', 'CREATE TABLE keyless (a int)');
  }
  const checks = await looked(server.url(), { databases: { include: ['one', 'two'], exclude: [] } });
  const sql = 'ALTER TABLE "public"."keyless" REPLICA IDENTITY FULL;';
  expect(checks.at(-1)?.remedy).toBe(
    `To archive them too, give them primary keys, or run in database one: ${sql} in database two: ${sql}`,
  );
});

const NO_SLOTS = /no replication slots/;
const BLOCKED = /refuses DROP, TRUNCATE/;
const SENT_AGAIN = /sent as changes of its rows once more/;
const NEW_TABLES = /up to 15 minutes/;
const SAVEPOINTS = /savepoints/;
const LOSSY = /25749/;
const SHORT = /4 hours/;
const ALL = [NO_SLOTS, BLOCKED, SENT_AGAIN, NEW_TABLES, SAVEPOINTS, LOSSY, SHORT];

it.each([
  ['11.2-YB-2.18.4.0-b0', [NO_SLOTS]],
  ['11.2-YB-2024.1.0.0-b1', [NO_SLOTS]],
  ['11.2-YB-2024.1.1.0-b1', [BLOCKED, NEW_TABLES, SAVEPOINTS, LOSSY, SHORT]],
  ['11.2-YB-2024.2.1.0-b0', [BLOCKED, NEW_TABLES, SAVEPOINTS, LOSSY]],
  ['15.12-YB-2025.1.0.0-b0', [BLOCKED, NEW_TABLES, SAVEPOINTS]],
  ['15.12-YB-2025.2.2.0-b0', [BLOCKED, NEW_TABLES]],
  ['15.12-YB-2026.1.0.0-b0', [SENT_AGAIN]],
  ['15.12-YB-unknown', []],
])('what replication of %s would leave out is told by its release', (version, said) => {
  const limits = replicationLimits(version).join('\n');
  expect(ALL.filter((pattern) => pattern.test(limits))).toEqual(said);
  if (said[0] !== NO_SLOTS) expect(limits).toMatch(/TRUNCATE is never sent/);
});

it.each(['15.12-YB-2025.1.3.0-b0', '15.12-YB-2025.2.1.0-b0', '15.12-YB-2.29.0.0-b0', '15.12-YB-unknown'])(
  'an archive of YugabyteDB %s is refused, with what that release leaves out',
  (version) => {
    expect(() => archiveSource({ product: 'yugabytedb', version, major: 15 })).toThrow(
      expect.objectContaining({
        code: 'ARCHIVE_YUGABYTEDB_RELEASE',
        message: expect.stringMatching(/2025\.2\.2 or newer.*Of this release: /),
        remedy: expect.stringContaining('pointTime.offCluster'),
      }),
    );
  },
);

it('an archive of YugabyteDB is by hybrid time, from the release on that has savepoints', () => {
  for (const version of ['15.12-YB-2025.2.2.0-b0', '15.12-YB-2026.1.0.0-b0']) {
    expect(archiveSource({ product: 'yugabytedb', version, major: 15 })).toMatchObject({
      plugin: 'yboutput',
      positions: 'hybrid-time',
    });
  }
});

it('doctor says what an archive of YugabyteDB leaves out and what it needs, of this release', async () => {
  const proxy = await startYsqlProxy({ upstreamUrl: server.url(), line: '2026.1' });
  try {
    const checks = await looked(proxy.url);
    expect(failing(checks)).toEqual([]);
    expect(checks[0]?.detail).toMatch(SENT_AGAIN);
    expect(checks[0]?.detail).not.toMatch(BLOCKED);
    const told = checks.map(({ detail }) => detail).join('\n');
    expect(told).toContain('maxSourceLag is not used');
    expect(told).toContain('may set yb_read_time');
    // To have the whole row as identity is of no use there.
    expect(told).toContain(
      'public.No Key (it has no primary key, and YugabyteDB streams no changes of such a table)',
    );
    expect(checks.map(({ remedy = '' }) => remedy).join('')).not.toContain('REPLICA IDENTITY');
  } finally {
    await proxy.stop();
  }
});

it('doctor says how to have changes of rows logged', async () => {
  const plain = await startPostgres();
  try {
    const checks = await looked(plain.url());
    expect(checks).toHaveLength(1);
    expect(checks[0]).toMatchObject({
      ok: false,
      remedy: "Run ALTER SYSTEM SET wal_level = 'logical'; and restart the server.",
    });
  } finally {
    await plain.stop();
  }
});
