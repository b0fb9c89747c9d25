import { execFile } from 'node:child_process';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { openTimeline } from '../../../engines/ysql/archive/open.ts';
import { parseLsn } from '../../../model/archive.ts';
import { unprivilegedAccount } from '../../../parts/account.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { readTimelines } from '../../../repository/archive/archive.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { eventually } from '../../support/processes.ts';
import { query } from '../../support/sql.ts';
import { archiveContext, archiveOnce, archiveRequest, PLAN, QUICK } from './archiver.ts';

/*
 * A server that lacks what is archived, though it has the slot: a standby to which slots are copied was promoted before it had everything, or the disk was
 * put back to an earlier state. What it commits instead has positions that the archive has passed.
 */

let scratch: ScratchFolder;

beforeAll(async () => {
  scratch = await createScratchFolder('put-back', await unprivilegedAccount());
});

afterAll(() => scratch.remove());

const start = (directory: string) => startPostgres({ directory, settings: { wal_level: 'logical' } });

/** Archives until everything is stored that is committed now. */
async function archived(server: PostgresServer, store: DirectoryStore, root: string): Promise<void> {
  const [place] = await query(server.url(), 'SELECT pg_current_wal_insert_lsn()::text AS lsn');
  const lsn = parseLsn(String(place?.lsn)) ?? '';
  const stopping = new AbortController();
  const request = archiveRequest('postgres', root);
  const context = await archiveContext(store, server.url(), request, { signal: stopping.signal });
  const running = archiveOnce(context, QUICK).catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error;
  });
  await eventually('the archive has what was committed', async () => {
    const newest = (await readTimelines(store, { plan: PLAN, database: 'postgres' })).at(-1);
    return (newest?.segments.at(-1)?.endLsn ?? '') >= lsn;
  });
  stopping.abort();
  await running;
  await context.lease.release();
}

test.each([
  ['promoted', true, /a standby that was promoted/],
  ['put_back', false, /the archive is further/],
])('a server that was %s and has the slot begins another timeline', async (name, isPromoted, reason) => {
  const directory = path.join(scratch.path, name);
  const earlier = path.join(scratch.path, `${name}-earlier`);
  const root = path.join(scratch.path, `${name}-repository`);
  await mkdir(root);
  const store = new DirectoryStore(root);
  let server = await start(directory);
  await query(server.url(), 'CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1)');
  await archived(server, store, root);
  await server.stop();
  await promisify(execFile)('cp', ['-a', directory, earlier]);
  server = await start(directory);
  await query(server.url(), "INSERT INTO t SELECT i, repeat('lost ', 100) FROM generate_series(2, 5000) i");
  await archived(server, store, root);
  await server.stop();
  await rm(directory, { recursive: true });
  await rename(earlier, directory);
  if (isPromoted) await writeFile(path.join(directory, 'data', 'standby.signal'), '');
  server = await start(directory);
  try {
    if (isPromoted) await query(server.url(), 'SELECT pg_promote()');
    await query(server.url(), "INSERT INTO t VALUES (2, 'instead')");
    const request = archiveRequest('postgres', root);
    const { signal } = new AbortController();
    const { ended } = await openTimeline(await archiveContext(store, server.url(), request, { signal }));
    expect(ended).toMatchObject({ code: 'other-source', reason: expect.stringMatching(reason) });
  } finally {
    await server.stop();
  }
});
