import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Client } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import { archiveActivities } from '../../../activities/archive-activities.ts';
import { Repositories } from '../../../activities/repositories.ts';
import { closeArchive, openTimeline } from '../../../engines/ysql/archive/open.ts';
import { archiveName } from '../../../engines/ysql/server/archive-names.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { readTimelines } from '../../../repository/archive/archive.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { query } from '../../support/sql.ts';
import { archiveContext, archiveRequest, PLAN } from './archiver.ts';

/* Slots that nobody streams: a source keeps its log for them until its disk is full. */

let server: PostgresServer;
let scratch: ScratchFolder;

beforeAll(async () => {
  server = await startPostgres({ settings: { wal_level: 'logical' } });
  scratch = await createScratchFolder('unattended');
  process.env.SOURCE_URL = server.url();
});
afterAll(async () => {
  await server.stop();
  await scratch.remove();
});

afterEach(() => query(server.url(), 'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots'));

const slots = () => query(server.url(), 'SELECT slot_name AS slot FROM pg_replication_slots');

/** Makes a slot that keeps more than `maxSourceLag`. Returns an activity's run; its arguments are those of the archive's workflow, which has no database of its own. */
async function whileAway(
  activity: 'archiveDatabases' | 'openArchive' | 'closeArchive',
  database = 'postgres',
  more: object = {},
): Promise<{ readonly mock: MockActivityEnvironment; readonly run: () => Promise<unknown> }> {
  const slot = archiveName(PLAN, database);
  await query(server.url(), `SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
  await query(server.url(), `SELECT pg_logical_emit_message(false, 'x', repeat('x', 100000))`);
  const activities = archiveActivities({} as Client, new Repositories());
  const request = archiveRequest(database, '/dev/null/away', { maxSourceLagBytes: 50_000 });
  const mock = new MockActivityEnvironment();
  const work = activities[activity] as (input: object) => Promise<unknown>;
  return { mock, run: () => mock.run(work, { ...request, labels: {}, ...more }) };
}

test.each(['archiveDatabases', 'openArchive', 'closeArchive'] as const)(
  'while the repository is away, %s gives up a slot that keeps more than maxSourceLag',
  async (activity) => {
    const { run } = await whileAway(activity);
    await expect(run()).rejects.toThrow(/away/);
    expect(await slots()).toEqual([]);
  },
);

test('what was cancelled leaves the slot: another run streams it soon', async () => {
  const { mock, run } = await whileAway('openArchive');
  mock.cancel();
  await expect(run()).rejects.toThrow(/CANCEL/i);
  expect(await slots()).toHaveLength(1);
});

test('a slot of a database that the plan’s patterns leave out by now is given up too', async () => {
  const { run } = await whileAway('archiveDatabases', 'left_out', { known: ['left_out'] });
  await expect(run()).rejects.toThrow(/away/);
  expect(await slots()).toEqual([]);
});

describe('where the database of the plan’s URL was dropped or renamed', () => {
  beforeEach(() => {
    process.env.SOURCE_URL = server.url('gone');
  });
  afterEach(() => {
    process.env.SOURCE_URL = server.url();
  });

  test.each(['archiveDatabases', 'openArchive', 'closeArchive'] as const)(
    'while the repository is away, %s gives up its slot',
    async (activity) => {
      const { run } = await whileAway(activity, 'gone');
      await expect(run()).rejects.toThrow(/away/);
      expect(await slots()).toEqual([]);
    },
  );
});

test.each([
  ['dropped', 'another'],
  ['renamed', 'another'],
  ['renamed', 'this'],
])(
  'the archive of a database that was %s ends, and its slot goes, where the URL names %s one',
  async (how, named) => {
    const database = `gone_${how}_${named}`;
    await query(server.url(), `CREATE DATABASE ${database}`);
    await query(server.url(database), 'CREATE TABLE t (id int PRIMARY KEY)');
    const root = path.join(scratch.path, database);
    await mkdir(root);
    const store = new DirectoryStore(root);
    const request = archiveRequest(database, root);
    const { signal } = new AbortController();
    const url = named === 'this' ? server.url(database) : server.url();
    const opening = await archiveContext(store, url, request, { signal });
    await openTimeline(opening);
    await query(
      server.url(),
      how === 'dropped'
        ? `DROP DATABASE ${database}`
        : `ALTER DATABASE ${database} RENAME TO elsewhere_${named}`,
    );
    await closeArchive(opening);
    expect(await slots()).toEqual([]);
    const [timeline] = await readTimelines(store, { plan: PLAN, database });
    expect(timeline?.end).toMatchObject({ code: 'removed' });
  },
);

test('an archiver whose lease another one has leaves the slot to that one', async () => {
  const root = path.join(scratch.path, 'taken-over');
  await mkdir(root);
  const store = new DirectoryStore(root);
  const request = archiveRequest('postgres', root);
  const { signal } = new AbortController();
  await query(server.url(), 'CREATE TABLE t (id int PRIMARY KEY)');
  const old = await archiveContext(store, server.url(), request, { signal, sinceMs: 1 });
  await openTimeline(old);
  await archiveContext(store, server.url(), request, { signal, sinceMs: 2 });
  await expect(closeArchive(old)).rejects.toMatchObject({ code: 'ARCHIVE_LEASE_LOST' });
  expect(await slots()).toHaveLength(1);
});
