import { openTimeline } from '../../../engines/ysql/archive/open.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { query } from '../../support/sql.ts';
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
    for (const table of ['keyed', 'indexed', 'whole', ...(version === 18 ? ['computed'] : [])]) {
      await query(
        server.url(),
        `INSERT INTO ${table} VALUES (1)`,
        `UPDATE ${table} SET a = 2`,
        `DELETE FROM ${table}`,
      );
    }
    expect(stored.timeline.tables.map(({ table }) => table)).toEqual(archived);
    expect(stored.timeline.notArchived.map(({ table }) => table)).toEqual(left);
  },
);
