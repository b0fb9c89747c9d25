import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { captureChanges } from '../../../engines/ysql/archive/capture.ts';
import { archiveEnd, closeArchive, openTimeline } from '../../../engines/ysql/archive/open.ts';
import type { ArchiveSource } from '../../../engines/ysql/archive/source-kind.ts';
import { YUGABYTEDB } from '../../../engines/ysql/archive/yugabytedb-source.ts';
import { archiveName } from '../../../engines/ysql/server/archive-names.ts';
import {
  type Lsn,
  lsnOf,
  positionOf,
  type StoredTimeline,
  type TimelineEnd,
} from '../../../model/archive.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { archiveWindow } from '../../../planning/archive/window.ts';
import { readTimelines } from '../../../repository/archive/archive.ts';
import { decoderKey } from '../../../repository/archive/names.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { TestReplication } from '../../proxy/replication/test-client.ts';
import { eventually } from '../../support/processes.ts';
import { query } from '../../support/sql.ts';
import { startYugabyteStandIn, type YugabyteStandIn } from '../yugabyte-stand-in.ts';
import { archiveContext, archiveOnce, archiveRequest, PLAN, QUICK } from './archiver.ts';

/* An archive of changes on the stand-in for YugabyteDB 2026.1. Instants are in yugabytedb-instants.test.ts. */

/** The stream is begun anew no sooner: the stand-in may take seconds to say something. */
const RHYTHM = { ...QUICK, idleMs: 60_000 };
const TABLES = [
  'CREATE TABLE journal (id bigint PRIMARY KEY, note text)',
  'CREATE TABLE item (a int, b text, c text, d jsonb, PRIMARY KEY (a, b))',
  'CREATE TABLE keyless (a int)',
] as const;

let standIn: YugabyteStandIn;
let scratch: ScratchFolder;
let root: string;
let store: DirectoryStore;

beforeAll(async () => {
  [standIn, scratch] = await Promise.all([
    startYugabyteStandIn('2026.1', { replication: { activeWindowMs: 500 } }),
    createScratchFolder('yb-archive'),
  ]);
  root = path.join(scratch.path, 'repository');
  await Promise.all([mkdir(root), mkdir(path.join(scratch.path, 'points'))]);
  store = new DirectoryStore(root);
});
afterAll(async () => {
  await standIn?.stop();
  await scratch?.remove();
});

async function createSource(name: string): Promise<string> {
  await query(standIn.server.url(), `CREATE DATABASE ${name}`);
  await query(standIn.url(name), ...TABLES);
  return standIn.url(name);
}

const timelinesOf = (database: string) => readTimelines(store, { plan: PLAN, database });
const newest = async (database: string) => (await timelinesOf(database)).at(-1);

/** Runs an archive until `stop`. */
async function begin(database: string) {
  const stop = new AbortController();
  const { signal } = stop;
  const before = await newest(database);
  const context = await archiveContext(store, standIn.url(database), archiveRequest(database, root), {
    signal,
  });
  const running = archiveOnce(context, RHYTHM);
  running.catch(() => undefined);
  await eventually('a timeline is open', async () => {
    const timeline = await newest(database);
    return (
      timeline?.end === undefined &&
      timeline?.timeline.id !== (before?.end === undefined ? '' : before.timeline.id)
    );
  });
  return {
    running,
    async stop() {
      stop.abort();
      await running.catch(() => undefined);
      await context.lease.release();
    },
  };
}

async function open(database: string) {
  const { signal } = new AbortController();
  const context = await archiveContext(store, standIn.url(database), archiveRequest(database, root), {
    signal,
  });
  try {
    return await openTimeline(context);
  } finally {
    await context.lease.release();
  }
}

/** Commits a row, and waits until it is stored. */
async function archived(database: string, id: number): Promise<void> {
  const [now] = await query(standIn.url(database), 'SELECT yb_get_current_hybrid_time_lsn()::text AS lsn');
  await query(standIn.url(database), `INSERT INTO journal VALUES (${id}, 'x')`);
  await eventually('it is archived', async () => {
    const timeline = await newest(database);
    return timeline !== undefined && positionOf(archiveEnd(timeline)) > BigInt(String(now?.lsn));
  });
}

function startArchiver(database: string): ChildProcess {
  return spawn(
    process.execPath,
    [path.join(import.meta.dirname, 'archiver-process.ts'), standIn.url(database), root, database],
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

/** Decodes the archive with the script that lies in it, and nothing else, into a database of the same schema. */
async function replayedByHand(database: string, { segments }: StoredTimeline): Promise<string> {
  const copy = `${database}_copy`;
  await query(standIn.server.url(), `CREATE DATABASE ${copy}`);
  await query(standIn.server.url(copy), ...TABLES);
  const folder = path.join(root, path.dirname(segments[0]?.key ?? ''));
  const files = (await readdir(folder)).filter((name) => name.startsWith('s-'));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [path.join(root, decoderKey(PLAN)), ...files.map((name) => path.join(folder, name))],
    { maxBuffer: 1024 ** 3 },
  );
  const file = path.join(scratch.path, `${database}.sql`);
  await writeFile(file, stdout);
  await promisify(execFile)(path.join(standIn.server.binDirectory, 'psql'), [
    ...['-v', 'ON_ERROR_STOP=1', '-q', '-o', '/dev/null', '-f', file, standIn.server.url(copy)],
  ]);
  return copy;
}

async function contentOf(database: string): Promise<unknown> {
  const url = standIn.server.url(database);
  return [
    await query(url, 'SELECT * FROM journal ORDER BY id'),
    await query(url, 'SELECT a, b, c, d::text FROM item ORDER BY a, b'),
  ];
}

test('each transaction is there once, however its archiver is killed; keys that change, columns that stay unset and NULLs come back', async () => {
  const url = await createSource('killed');
  let archiver = startArchiver('killed');
  await eventually('the archive has begun', async () => (await newest('killed')) !== undefined);
  for (let kill = 0; kill < 4; kill += 1) {
    if (kill % 2 === 0) await writeFile(path.join(scratch.path, 'points', 'archive-stored'), '');
    for (let number = 0; number < 6; number += 1) {
      const id = kill * 10 + number;
      await query(
        url,
        `BEGIN; INSERT INTO journal VALUES (${id}, 'it’s \\ "noted"'); INSERT INTO item VALUES (${id}, 'k', 'c', '{"n": ${id}}'); COMMIT`,
        `UPDATE item SET c = 'only ${id}' WHERE a = ${id}`,
        `UPDATE item SET c = NULL WHERE a = ${id} AND a % 2 = 0`,
        `UPDATE item SET b = 'moved' WHERE a = ${id} AND a % 3 = 0`,
        `DELETE FROM item WHERE a = ${id} AND a % 5 = 0`,
        `BEGIN; INSERT INTO journal VALUES (-1, 'never'); ROLLBACK`,
        `BEGIN; UPDATE item SET d = '[]' WHERE a = ${id}; SAVEPOINT s; UPDATE item SET d = NULL; ROLLBACK TO s; COMMIT`,
      );
    }
    await Promise.race([ended(archiver), sleep(kill % 2 === 0 ? 8_000 : 300)]);
    archiver.kill('SIGKILL');
    await ended(archiver);
    await rm(path.join(scratch.path, 'points', 'archive-stored'), { force: true });
    archiver = startArchiver('killed');
  }
  await archived('killed', 1_000);
  archiver.kill('SIGKILL');
  await ended(archiver);
  const timelines = await timelinesOf('killed');
  expect(timelines.map(({ end }) => end)).toEqual([undefined]);
  expect(archiveWindow('killed', timelines)).toMatchObject({ holes: [], intervals: [{}] });
  const [timeline] = timelines;
  if (timeline === undefined) throw new Error('there is no timeline');
  expect(timeline.timeline).toMatchObject({ plugin: 'yboutput', positions: 'hybrid-time' });
  expect(timeline.timeline.notArchived).toEqual([
    { table: 'public.keyless', reason: expect.stringContaining('no primary key') },
  ]);
  const copy = await replayedByHand('killed', timeline);
  expect(await contentOf(copy)).toEqual(await contentOf('killed'));
}, 240_000);

test('a second reader, whom no lock keeps away, moves the slot: the archive begins anew and names the gap', async () => {
  const url = await createSource('shared');
  const archive = await begin('shared');
  await archived('shared', 1);
  await archive.stop();
  const slot = archiveName(PLAN, 'shared');
  const other = await TestReplication.connect(url);
  other.start(slot, slot);
  await query(url, `INSERT INTO journal VALUES (2, 'lost')`);
  await eventually('the other reader has it', async () => other.transactions().length > 0);
  other.feedback(other.transactions().at(-1)?.lsn ?? 0n, true);
  await eventually('the slot has moved', async () => {
    const [row] = await query(
      url,
      `SELECT confirmed_flush_lsn > '0/2' AND yb_restart_commit_ht >= ${other.transactions().at(-1)?.lsn} AS moved FROM pg_replication_slots WHERE slot_name = '${slot}'`,
    );
    return row?.moved === true;
  });
  await other.end();
  const opened = await open('shared');
  expect(opened.ended).toMatchObject({ code: 'gap', reason: expect.stringContaining('was moved') });
  expect(archiveWindow('shared', await timelinesOf('shared')).holes).toHaveLength(1);
}, 120_000);

test('what the source has no longer ends the timeline, and so does another slot of the same name', async () => {
  const url = await createSource('expired');
  const archive = await begin('expired');
  await archived('expired', 1);
  const slot = archiveName(PLAN, 'expired');
  standIn.slots.expire(slot);
  await query(url, `INSERT INTO journal VALUES (2, 'gone')`);
  const end: TimelineEnd = await archive.running;
  expect(end).toMatchObject({ code: 'slot-lost', reason: expect.stringContaining('GCed intents') });
  await archive.stop();
  // The slot is dropped as soon as the source calls it unused.
  expect((await open('expired')).began).toContain('GCed intents');
  await eventually('the slot can be dropped', async () => {
    try {
      await query(url, `SELECT pg_drop_replication_slot('${slot}')`);
      return true;
    } catch {
      return false;
    }
  });
  await query(
    url,
    `SELECT pg_create_logical_replication_slot('${slot}', 'yboutput', false, false, 'HYBRID_TIME')`,
  );
  expect((await open('expired')).ended).toMatchObject({
    code: 'slot-lost',
    reason: expect.stringContaining('another replication slot'),
  });
}, 120_000);

test('a new table ends the timeline, so that no window holds changes that were not streamed; the key removed, all is dropped', async () => {
  const url = await createSource('grown');
  const archive = await begin('grown');
  await archived('grown', 1);
  const before = await newest('grown');
  await query(url, 'CREATE TABLE later (id int PRIMARY KEY)', 'INSERT INTO later VALUES (1)');
  await query(url, `INSERT INTO journal VALUES (2, 'after')`);
  expect(await archive.running).toMatchObject({ code: 'schema-changed', lsn: before && archiveEnd(before) });
  await archive.stop();
  const opened = await open('grown');
  expect(opened.stored.timeline.tables.map(({ table }) => table)).toContain('public.later');
  const { signal } = new AbortController();
  await closeArchive(await archiveContext(store, url, archiveRequest('grown', root), { signal }));
  expect(await query(url, "SELECT FROM pg_replication_slots WHERE database = 'grown'")).toEqual([]);
  expect(await query(url, 'SELECT FROM pg_publication')).toEqual([]);
  expect((await newest('grown'))?.end).toMatchObject({ code: 'removed' });
}, 120_000);

/** The stand-in's slots don't move by themselves, as a server's do once a stream was begun anew (cdcsdk_virtual_wal.cc). */
class MovingSlot {
  safeEnd: Lsn | undefined;
  readonly #readers = new Set<unknown>();
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  get source(): ArchiveSource {
    return {
      ...YUGABYTEDB,
      readSlot: async (session, name) => {
        const slot = await YUGABYTEDB.readSlot(session, name);
        const [row] = await query(
          this.#url,
          `SELECT active_pid, yb_get_current_hybrid_time_lsn()::text AS now FROM pg_replication_slots WHERE slot_name = '${name}'`,
        );
        if (row?.active_pid != null) this.#readers.add(row.active_pid);
        if (this.#readers.size > 1) this.safeEnd ??= lsnOf(BigInt(String(row?.now)));
        return slot === undefined || this.safeEnd === undefined ? slot : { ...slot, safeEnd: this.safeEnd };
      },
    };
  }
}

test('the end of an idle source moves to what its slot shows as safe, once the stream was begun anew, and no further', async () => {
  const url = await createSource('idle');
  const stop = new AbortController();
  const { signal } = stop;
  const context = await archiveContext(store, url, archiveRequest('idle', root), { signal });
  const slot = new MovingSlot(url);
  const opened = await openTimeline(context);
  const running = captureChanges(context, { ...opened, source: slot.source }, { ...RHYTHM, idleMs: 3_000 });
  running.catch(() => undefined);
  await archived('idle', 1);
  const busy = await newest('idle');
  await eventually('the end moves', async () => {
    const timeline = await newest('idle');
    return slot.safeEnd !== undefined && timeline !== undefined && archiveEnd(timeline) === slot.safeEnd;
  });
  await sleep(2_000);
  const timeline = await newest('idle');
  if (timeline === undefined || busy === undefined) throw new Error('there is no timeline');
  expect(archiveEnd(timeline)).toBe(slot.safeEnd);
  const moved = timeline.segments.slice(busy.segments.length);
  expect(moved).toHaveLength(1);
  expect(archiveWindow('idle', [timeline])).toMatchObject({ holes: [], intervals: [{}] });
  // What commits later is archived behind it.
  await archived('idle', 2);
  const [end] = archiveWindow('idle', await timelinesOf('idle')).intervals;
  expect(end?.segments.length).toBeGreaterThan(timeline.segments.length);
  stop.abort();
  await expect(running).rejects.toBeDefined();
}, 120_000);
