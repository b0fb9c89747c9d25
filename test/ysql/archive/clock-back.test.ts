import { closeArchive, openTimeline } from '../../../engines/ysql/archive/open.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { putTimeline, putTimelineEnd, readTimelines } from '../../../repository/archive/archive.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { query } from '../../support/sql.ts';
import { archiveContext, archiveRequest } from './archiver.ts';

let server: PostgresServer;
let scratch: ScratchFolder;

beforeAll(async () => {
  server = await startPostgres({ settings: { wal_level: 'logical' } });
  scratch = await createScratchFolder('clock-back');
});
afterAll(async () => {
  await server.stop();
  await scratch.remove();
});

test('after the source’s clock was put back, one timeline begins, and is gone on with', async () => {
  await query(server.url(), 'CREATE TABLE t (id int PRIMARY KEY)');
  const store = new DirectoryStore(scratch.path);
  const request = archiveRequest('postgres', scratch.path);
  const { signal } = new AbortController();
  const context = await archiveContext(store, server.url(), request, { signal });
  const { timeline } = (await openTimeline(context)).stored;
  await closeArchive(context);
  // One that began, and ended, while the clock was ahead by more than a century.
  const ahead = { id: '21450101T000000000000Z-0000000001000000', createdAt: '2145-01-01T00:00:00.000000Z' };
  await putTimeline(store, { ...timeline, ...ahead });
  const end = { formatVersion: 1, lsn: timeline.startLsn, endedAt: timeline.createdAt } as const;
  await putTimelineEnd(store, request, { ...end, timeline: ahead.id, code: 'gap', reason: 'A test.' });

  const opened = await openTimeline(context);
  expect(opened.stored.timeline.createdAt.slice(0, 3)).toBe(timeline.createdAt.slice(0, 3));
  const again = await openTimeline(context);
  expect(again.stored.timeline.id).toBe(opened.stored.timeline.id);
  await closeArchive(context);
  const third = await openTimeline(context);
  expect((await openTimeline(context)).stored.timeline.id).toBe(third.stored.timeline.id);
  expect((await readTimelines(store, request)).map(({ timeline: { id } }) => id)).toEqual([
    timeline.id,
    ahead.id,
    opened.stored.timeline.id,
    third.stored.timeline.id,
  ]);
});
