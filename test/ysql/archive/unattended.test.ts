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

test.each(['archiveDatabases', 'openArchive', 'closeArchive', 'streamArchive'] as const)(
  'while the repository is away, %s gives up a slot that keeps more than maxSourceLag',
  async (activity) => {
    const slot = archiveName(PLAN, 'postgres');
    await query(server.url(), `SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
    await query(server.url(), `SELECT pg_logical_emit_message(false, 'x', repeat('x', 100000))`);
    const activities = archiveActivities({} as Client, new Repositories());
    const request = archiveRequest('postgres', '/dev/null/away', { maxSourceLagBytes: 50_000 });
    const mock = new MockActivityEnvironment();
    // Its arguments are those of the archive's workflow, which has no database of its own.
    const run = activities[activity] as (input: object) => Promise<unknown>;
    await expect(mock.run(run, { ...request, labels: {} })).rejects.toThrow(/away/);
    expect(await slots()).toEqual([]);
  },
);

test.each(['dropped', 'renamed'])(
  'the archive of a database that was %s ends, and its slot goes',
  async (how) => {
    const database = `gone_${how}`;
    await query(server.url(), `CREATE DATABASE ${database}`);
    await query(server.url(database), 'CREATE TABLE t (id int PRIMARY KEY)');
    const root = path.join(scratch.path, how);
    await mkdir(root);
    const store = new DirectoryStore(root);
    const request = archiveRequest(database, root);
    const { signal } = new AbortController();
    const opening = await archiveContext(store, server.url(), request, { signal });
    await openTimeline(opening);
    await query(
      server.url(),
      how === 'dropped' ? `DROP DATABASE ${database}` : `ALTER DATABASE ${database} RENAME TO elsewhere`,
    );
    await closeArchive(opening);
    expect(await slots()).toEqual([]);
    const [timeline] = await readTimelines(store, { plan: PLAN, database });
    expect(timeline?.end).toMatchObject({ code: 'removed' });
  },
);
