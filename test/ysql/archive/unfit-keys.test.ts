import { openTimeline } from '../../../engines/ysql/archive/open.ts';
import {
  archivableTables,
  POSTGRESQL_TABLES,
  type TableReading,
} from '../../../engines/ysql/archive/tables.ts';
import { parseConnectionUrl } from '../../../engines/ysql/server/connection-url.ts';
import { withSession } from '../../../engines/ysql/server/session.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { query } from '../../support/sql.ts';
import { ysqlSource } from '../harness.ts';
import { archiveContext, archiveRequest } from './archiver.ts';

/*
 * PostgreSQL 18 refuses the application's UPDATE and DELETE of a published table whose replica identity has a generated column that is not published, and
 * older versions leave the column out of what they send. A key WITHOUT OVERLAPS (18) is sent, and no operator of its index calls two of its values equal.
 */

let server: PostgresServer;
let scratch: ScratchFolder;

beforeAll(async () => {
  scratch = await createScratchFolder('unfit-keys');
});
afterEach(() => server.stop());
afterAll(() => scratch.remove());

const TABLES = [
  'CREATE TABLE kept (id int, doubled int GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (id) INCLUDE (doubled))',
  'CREATE TABLE keyed (a int, b int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY)',
  'CREATE TABLE indexed (a int, b int GENERATED ALWAYS AS (a * 2) STORED NOT NULL)',
  'CREATE UNIQUE INDEX indexed_b ON indexed (b)',
  'ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_b',
  'CREATE TABLE whole (a int, b int GENERATED ALWAYS AS (a * 2) STORED)',
  'ALTER TABLE whole REPLICA IDENTITY FULL',
];

const TABLES_OF_18 = [
  'CREATE TABLE computed (a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL)',
  'ALTER TABLE computed REPLICA IDENTITY FULL',
  'CREATE EXTENSION btree_gist',
  'CREATE TABLE booked (room int, during daterange, who text, PRIMARY KEY (room, during WITHOUT OVERLAPS))',
  'CREATE TABLE booked_whole (LIKE booked INCLUDING ALL)',
  'ALTER TABLE booked_whole REPLICA IDENTITY FULL',
];

test.each([
  [15, TABLES, ['public.kept', 'public.whole'], ['public.indexed', 'public.keyed']],
  [
    18,
    [...TABLES, ...TABLES_OF_18],
    ['public.booked_whole', 'public.kept'],
    ['public.booked', 'public.computed', 'public.indexed', 'public.keyed', 'public.whole'],
  ],
] as const)(
  'on PostgreSQL %s, a table whose key is not sent or not found again is left out, and the application may change it',
  async (version, tables, archived, left) => {
    server = await startPostgres({ version, settings: { wal_level: 'logical' } });
    await query(server.url(), ...tables);
    const context = await archiveContext(
      new DirectoryStore(scratch.path),
      server.url(),
      archiveRequest('postgres', scratch.path, {}, `plan${version}`),
      { signal: new AbortController().signal },
    );
    const { stored } = await openTimeline(context);
    const booking = ['room', `1, '[2026-12-01,2026-12-02)', 'Ann'`];
    const changed = [
      ...[['kept', 'id', '1'], ...['keyed', 'indexed', 'whole'].map((table) => [table, 'a', '1'])],
      ...(version === 18
        ? [
            ['computed', 'a', '1'],
            ...[
              ['booked', ...booking],
              ['booked_whole', ...booking],
            ],
          ]
        : []),
    ];
    for (const [table, column, values] of changed) {
      await query(
        server.url(),
        `INSERT INTO ${table} VALUES (${values})`,
        `UPDATE ${table} SET ${column} = 2`,
        `DELETE FROM ${table}`,
      );
    }
    expect(stored.timeline.tables.map(({ table }) => table)).toEqual(archived);
    expect(stored.timeline.notArchived.map(({ table }) => table)).toEqual(left);
  },
);

/** As a release reads the catalogue that does not know `unfit`. */
const OLDER = {
  ...POSTGRESQL_TABLES,
  sql: POSTGRESQL_TABLES.sql.replace(/CASE\s+WHEN[\s\S]* END AS unfit/, 'NULL AS unfit'),
};

test('a table that was never published has the fingerprint of older releases: neither they nor this one end the other’s timeline', async () => {
  server = await startPostgres({ version: 15, settings: { wal_level: 'logical' } });
  await query(server.url(), ...TABLES, 'CREATE PUBLICATION archive FOR TABLE kept');
  const target = parseConnectionUrl(server.url());
  await withSession(target, 'postgres', new AbortController().signal, async (session) => {
    const fingerprintOf = async (reading: TableReading) =>
      (await archivableTables(session, reading, ysqlSource(), 'archive')).schemaFingerprint;
    expect(await fingerprintOf(POSTGRESQL_TABLES)).toBe(await fingerprintOf(OLDER));
    await session.query('publish it', 'ALTER PUBLICATION archive ADD TABLE public.keyed');
    expect(await fingerprintOf(POSTGRESQL_TABLES)).not.toBe(await fingerprintOf(OLDER));
  });
});
