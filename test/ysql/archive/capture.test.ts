import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { captureChanges } from '../../../engines/ysql/archive/capture.ts';
import { decodeHead } from '../../../engines/ysql/archive/messages.ts';
import { archiveEnd, closeArchive, openTimeline } from '../../../engines/ysql/archive/open.ts';
import { archiveName } from '../../../engines/ysql/server/archive-names.ts';
import { type Lsn, parseLsn, type StoredTimeline } from '../../../model/archive.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { archiveWindow, chainsOf } from '../../../planning/archive/window.ts';
import { framesOf, readSegment, readTimelines } from '../../../repository/archive/archive.ts';
import { decoderKey } from '../../../repository/archive/names.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { eventually } from '../../support/processes.ts';
import { query } from '../../support/sql.ts';
import { archiveContext, archiveOnce, archiveRequest, PLAN, QUICK } from './archiver.ts';
import { COMPARED, TABLES, Writer } from './writer.ts';

const SEED = Number(process.env.HOLDFAST_TEST_SEED ?? 20);

let server: PostgresServer;
let scratch: ScratchFolder;
let root: string;
let store: DirectoryStore;

beforeAll(async () => {
  [server, scratch] = await Promise.all([
    startPostgres({ settings: { wal_level: 'logical', wal_sender_timeout: '5s' } }),
    createScratchFolder('capture'),
  ]);
  root = path.join(scratch.path, 'repository');
  await Promise.all([mkdir(root), mkdir(path.join(scratch.path, 'points'))]);
  store = new DirectoryStore(root);
});
afterAll(async () => {
  await server.stop();
  await scratch.remove();
});

async function createSource(name: string): Promise<void> {
  await query(server.url(), `CREATE DATABASE ${name}`);
  await query(server.url(name), ...TABLES);
}

function startArchiver(database: string): ChildProcess {
  return spawn(
    process.execPath,
    [path.join(import.meta.dirname, 'archiver-process.ts'), server.url(database), root, database],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, HOLDFAST_CRASH_POINTS: path.join(scratch.path, 'points') },
    },
  );
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await new Promise((resolve) => child.once('exit', resolve));
}

const timelinesOf = (database: string) => readTimelines(store, { plan: PLAN, database });

async function newest(database: string): Promise<StoredTimeline | undefined> {
  return (await timelinesOf(database)).at(-1);
}

async function confirmed(database: string): Promise<Lsn | undefined> {
  const rows = await query(
    server.url(),
    `SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = '${archiveName(PLAN, database)}'`,
  );
  return rows[0] === undefined ? undefined : parseLsn(String(rows[0].lsn));
}

/** The slot is asked first: storage only grows, so what was acknowledged must be there a moment later. */
async function expectAcknowledgedIsStored(database: string): Promise<void> {
  const acknowledged = await confirmed(database);
  const timeline = await newest(database);
  if (acknowledged === undefined || timeline === undefined || timeline.end !== undefined) return;
  const end = archiveEnd(timeline);
  if (acknowledged > end) throw new Error(`${acknowledged} is acknowledged, and the archive ends at ${end}`);
}

async function waitUntilArchived(database: string): Promise<void> {
  const rows = await query(server.url(), 'SELECT pg_current_wal_insert_lsn()::text AS lsn');
  const lsn = parseLsn(String(rows[0]?.lsn)) ?? '';
  await eventually('the archive has what was committed', async () => {
    const timeline = await newest(database);
    return timeline !== undefined && archiveEnd(timeline) >= lsn;
  });
}

interface Archived {
  readonly begins: readonly { readonly xid: number; readonly commit: bigint }[];
  readonly commits: number;
}

async function decodedOf({ segments }: StoredTimeline): Promise<Archived> {
  const [chain = [], ...others] = chainsOf(segments);
  expect(others).toEqual([]);
  const begins: { xid: number; commit: bigint }[] = [];
  let commits = 0;
  for (const segment of chain) {
    let isHeader = true;
    for await (const frame of framesOf(readSegment(store, segment), segment.key)) {
      if (isHeader) {
        const header: unknown = JSON.parse(frame.toString());
        expect(header).toMatchObject({ startLsn: segment.startLsn, endLsn: segment.endLsn });
        isHeader = false;
        continue;
      }
      const message = decodeHead(frame);
      if (message.kind === 'begin') {
        begins.push({ xid: message.xid, commit: message.commitLsn });
      } else if (message.kind === 'commit') commits += 1;
    }
  }
  return { begins, commits };
}

/** Decodes the archive with the script that lies in it, and nothing else, into a database of the same schema. */
async function replayByHand(database: string, timeline: StoredTimeline): Promise<string> {
  const copy = `${database}_copy`;
  await createSource(copy);
  const folder = path.join(root, path.dirname(timeline.segments[0]?.key ?? ''));
  const files = (await readdir(folder)).filter((name) => name.startsWith('s-'));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [path.join(root, decoderKey(PLAN)), ...files.map((name) => path.join(folder, name))],
    { maxBuffer: 1024 ** 3 },
  );
  const file = path.join(scratch.path, `${database}.sql`);
  await writeFile(file, stdout);
  await promisify(execFile)(path.join(server.binDirectory, 'psql'), [
    ...['-v', 'ON_ERROR_STOP=1', '-q', '-o', '/dev/null', '-f', file, server.url(copy)],
  ]);
  return copy;
}

async function contentOf(database: string): Promise<readonly string[]> {
  const contents: string[] = [];
  for (const table of COMPARED) {
    const rows = await query(
      server.url(database),
      `SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE "C")), '') AS content FROM ${table} t`,
    );
    contents.push(`${table}: ${String(rows[0]?.content)}`);
  }
  return contents;
}

describe('an archive of changes', () => {
  it('has each transaction once, however its archiver is killed, and acknowledges only what is stored', async () => {
    await createSource('killed');
    let archiver = startArchiver('killed');
    await eventually('the archive has begun', async () => (await newest('killed')) !== undefined);
    const writer = await Writer.connect(server.url('killed'), SEED);
    let isWriting = true;
    const writing = (async () => {
      try {
        for (let round = 0; round < 4; round++) {
          await writer.transactions(100);
          if (round % 2 === 1) await writer.large(30_000);
        }
      } finally {
        isWriting = false;
      }
    })();
    const watching = (async () => {
      while (isWriting) {
        await expectAcknowledgedIsStored('killed');
        await sleep(20);
      }
    })();
    let kills = 0;
    for (; isWriting || kills < 6; kills++) {
      if (kills % 2 === 0) {
        // Between the put and the word to the source.
        await writeFile(path.join(scratch.path, 'points', 'archive-stored'), '');
        await Promise.race([ended(archiver), sleep(8_000)]);
      } else await sleep(300 + ((kills * 317) % 900));
      archiver.kill('SIGKILL');
      await ended(archiver);
      // On a slow machine it may not have come by the point, which would end the last archiver, that nobody starts again.
      await rm(path.join(scratch.path, 'points', 'archive-stored'), { force: true });
      await expectAcknowledgedIsStored('killed');
      archiver = startArchiver('killed');
      if (!isWriting) await writer.transactions(20);
    }
    await Promise.all([writing, watching]);
    await waitUntilArchived('killed');
    archiver.kill('SIGKILL');
    await ended(archiver);

    const timelines = await timelinesOf('killed');
    expect(timelines.map(({ end }) => end)).toEqual([undefined]);
    const [timeline] = timelines;
    if (timeline === undefined) throw new Error('there is no timeline');
    expect(archiveWindow('killed', timelines)).toMatchObject({ holes: [], intervals: [{}] });
    const { begins, commits } = await decodedOf(timeline);
    expect(commits).toBe(begins.length);
    expect(new Set(begins.map(({ xid }) => xid)).size).toBe(begins.length);
    const sorted = begins.map(({ commit }) => commit).toSorted((a, b) => (a < b ? -1 : 1));
    expect(begins.map(({ commit }) => commit)).toEqual(sorted);
    // Each transaction that the source committed notes itself in its journal.
    expect(begins).toHaveLength(writer.committed);
    expect(timeline.segments.some(({ isInParts }) => isInParts)).toBe(true);
    await writer.close();
    const copy = await replayByHand('killed', timeline);
    await expect(contentOf(copy)).resolves.toEqual(await contentOf('killed'));
    expect(timeline.timeline.notArchived).toEqual([
      { table: 'public.naked', reason: 'it has no replica identity (no primary key)' },
    ]);
  });

  it('is written by one of two archivers: the other is refused, or finds its lease gone', async () => {
    await createSource('fenced');
    const request = archiveRequest('fenced', root);
    const stop = new AbortController();
    const { signal } = stop;
    const context = await archiveContext(store, server.url('fenced'), request, { signal, owner: 'one' });
    const running = archiveOnce(context);
    running.catch(() => undefined);
    await eventually('the archive has begun', async () => (await newest('fenced')) !== undefined);
    await expect(
      archiveContext(store, server.url('fenced'), request, { signal, owner: 'two' }),
    ).rejects.toMatchObject({ code: 'ARCHIVE_RUNNING' });
    // A later attempt of the same run takes over: the first must store nothing more.
    await archiveContext(store, server.url('fenced'), request, {
      signal,
      owner: 'one',
      sinceMs: Date.now() + 1,
    });
    await query(server.url('fenced'), `INSERT INTO journal VALUES (1, 'x')`);
    await expect(running).rejects.toMatchObject({ code: 'ARCHIVE_LEASE_LOST' });
    expect((await newest('fenced'))?.segments).toEqual([]);
    stop.abort();
  });

  it('splits no transaction that is smaller than a segment', async () => {
    await createSource('many');
    const stop = new AbortController();
    const { signal } = stop;
    const request = archiveRequest('many', root, { lagMs: 60_000, segmentBytes: 64 * 1024 });
    const running = archiveOnce(await archiveContext(store, server.url('many'), request, { signal }));
    running.catch(() => undefined);
    await eventually('it archives', async () => (await newest('many')) !== undefined);
    await query(
      server.url('many'),
      `DO $$ BEGIN FOR i IN 1..2000 LOOP INSERT INTO journal VALUES (i, repeat('x', 200)); COMMIT; END LOOP; END $$`,
    );
    const stored = async () =>
      ((await newest('many'))?.segments ?? []).filter(({ sizeBytes }) => sizeBytes > 0);
    await eventually('segments are stored', async () => (await stored()).length >= 5);
    const parts = path.join(root, path.dirname((await stored())[0]?.key ?? ''), 'parts');
    await expect(readdir(parts)).rejects.toMatchObject({ code: 'ENOENT' });
    stop.abort();
    await expect(running).rejects.toBeDefined();
  });

  it('moves the end of the window while nothing is committed, and lets the source stop', async () => {
    await createSource('idle');
    const stop = new AbortController();
    const { signal } = stop;
    const request = archiveRequest('idle', root);
    const running = archiveOnce(await archiveContext(store, server.url('idle'), request, { signal }));
    running.catch(() => undefined);
    const before = Date.now() * 1000;
    await eventually('the window moves', async () => {
      const { intervals } = archiveWindow('idle', await timelinesOf('idle'));
      return (intervals.at(-1)?.toMicros ?? 0) > before + 500_000;
    });
    const timeline = await newest('idle');
    if (timeline === undefined) throw new Error('there is no timeline');
    await expect(decodedOf(timeline)).resolves.toEqual({ begins: [], commits: 0 });
    stop.abort();
    await expect(running).rejects.toBeDefined();
  });

  it('moves the end of the window of an idle database with the server, where another database is written to', async () => {
    await createSource('quiet');
    await createSource('busy');
    const stop = new AbortController();
    const { signal } = stop;
    const context = await archiveContext(store, server.url('quiet'), archiveRequest('quiet', root), {
      signal,
    });
    const rhythm = { ...QUICK, idleMs: 600_000 };
    const running = captureChanges(context, await openTimeline(context), rhythm);
    running.catch(() => undefined);
    const before = Date.now() * 1000;
    await eventually('the window of the idle database moves', async () => {
      await query(
        server.url('busy'),
        `INSERT INTO journal SELECT coalesce(max(id), 0) + 1, 'x' FROM journal`,
      );
      const { intervals } = archiveWindow('quiet', await timelinesOf('quiet'));
      return (intervals.at(-1)?.toMicros ?? 0) > before + 3_000_000;
    });
    await sleep(2_000);
    const atRest = (await newest('quiet'))?.segments.length ?? 0;
    await sleep(6_000);
    // What it stores moves nothing, or there would be one for each `lag`, 20 of them. The server by itself writes a record now and then.
    expect((await newest('quiet'))?.segments.length).toBeLessThanOrEqual(atRest + 5);
    stop.abort();
    await expect(running).rejects.toBeDefined();
  });

  it('ends its timeline and begins another where tables change, where the slot is gone, moved, or keeps too much', async () => {
    await createSource('ended');
    const url = server.url('ended');
    const request = archiveRequest('ended', root);
    const once = async (policy: Parameters<typeof archiveRequest>[2], disturb: () => Promise<unknown>) => {
      const stop = new AbortController();
      const asked = archiveRequest('ended', root, policy);
      const context = await archiveContext(store, url, asked, { signal: stop.signal });
      const running = archiveOnce(context);
      running.catch(() => undefined);
      await eventually('a timeline is open', async () => {
        const timeline = await newest('ended');
        return timeline !== undefined && timeline.end === undefined;
      });
      await query(url, `INSERT INTO journal SELECT max(id) + 1, 'x' FROM journal HAVING true`).catch(() =>
        query(url, `INSERT INTO journal VALUES ((SELECT coalesce(max(id), 0) + 1 FROM journal), 'x')`),
      );
      await disturb();
      return { running, stop };
    };
    const altered = await once({}, () => query(url, 'ALTER TABLE item ADD COLUMN more int'));
    await expect(altered.running).resolves.toMatchObject({ code: 'schema-changed' });
    await expect(confirmed('ended')).resolves.toBeUndefined();

    const tooMuch = await once({ maxSourceLagBytes: 1 }, () => Promise.resolve());
    await expect(tooMuch.running).resolves.toMatchObject({ code: 'source-lag' });
    await expect(confirmed('ended')).resolves.toBeUndefined();

    const cut = await once({}, () => Promise.resolve());
    await waitUntilArchived('ended');
    cut.stop.abort();
    await expect(cut.running).rejects.toBeDefined();
    const slot = archiveName(PLAN, 'ended');
    await query(url, `INSERT INTO journal VALUES (1000, 'lost')`);
    await eventually('nobody reads the slot', async () => {
      const rows = await query(
        server.url(),
        `SELECT FROM pg_replication_slots WHERE slot_name = '${slot}' AND active`,
      );
      return rows.length === 0;
    });
    // Somebody else moves the slot: PostgreSQL then sends nothing of what lies between, and says nothing.
    await query(server.url('ended'), `SELECT pg_replication_slot_advance('${slot}', pg_current_wal_lsn())`);
    const { signal } = new AbortController();
    const opened = await openTimeline(await archiveContext(store, url, request, { signal }));
    expect(opened.began).toContain('was moved');
    await query(server.url(), `SELECT pg_drop_replication_slot('${slot}')`);
    const reopened = await openTimeline(await archiveContext(store, url, request, { signal }));
    expect(reopened.began).toContain('has no replication slot');
    const { holes } = archiveWindow('ended', await timelinesOf('ended'));
    expect(holes).toHaveLength(4);
    expect(holes.map(({ reason }) => reason).join('\n')).toMatch(
      /columns.*maxSourceLag.*was moved.*has no replication slot/s,
    );
    await closeArchive(await archiveContext(store, url, request, { signal }));
    await expect(query(url, 'SELECT FROM pg_publication')).resolves.toEqual([]);
    await expect(confirmed('ended')).resolves.toBeUndefined();
    expect((await newest('ended'))?.end).toMatchObject({ code: 'removed' });
  });
});
