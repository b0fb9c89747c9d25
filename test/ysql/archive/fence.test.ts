import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { captureChanges } from '../../../engines/ysql/archive/capture.ts';
import { openTimeline } from '../../../engines/ysql/archive/open.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { readTimelines } from '../../../repository/archive/archive.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { query } from '../../support/sql.ts';
import { archiveContext, archiveRequest, PLAN, QUICK } from './archiver.ts';

let postgres: PostgresServer;
let scratch: ScratchFolder;

beforeAll(async () => {
  [postgres, scratch] = await Promise.all([
    startPostgres({ settings: { wal_level: 'logical' } }),
    createScratchFolder('fence'),
  ]);
});

afterAll(async () => {
  await postgres?.stop();
  await scratch?.remove();
});

test('an archiver whose lease another one took ends no timeline, whatever it sees', async () => {
  const root = path.join(scratch.path, 'repository');
  await mkdir(root);
  const store = new DirectoryStore(root);
  const url = postgres.url();
  await query(url, 'CREATE TABLE t (id int PRIMARY KEY)');
  const request = archiveRequest('postgres', root);
  const stop = new AbortController();
  const { signal } = stop;
  const context = await archiveContext(store, url, request, { signal });
  const opened = await openTimeline(context);
  // It looks at nothing but what it is sent.
  const running = captureChanges(context, opened, { ...QUICK, watchMs: 600_000, idleMs: 600_000 });
  running.catch(() => undefined);
  await archiveContext(store, url, request, { signal, sinceMs: Date.now() + 1 });
  await query(url, 'ALTER TABLE t ADD COLUMN v text', 'INSERT INTO t VALUES (1)');
  await expect(running).rejects.toMatchObject({ code: 'ARCHIVE_LEASE_LOST' });
  const [stored] = await readTimelines(store, { plan: PLAN, database: 'postgres' });
  expect(stored).not.toHaveProperty('end');
  stop.abort();
});
