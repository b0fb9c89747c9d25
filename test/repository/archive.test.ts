import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { lsnOf, microsOfIso, type StoredSegment, type Timeline } from '../../model/archive.ts';
import { type S3Gateway, startS3Gateway } from '../../parts/s3.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { archiveWindow } from '../../planning/archive/window.ts';
import {
  archivedDatabases,
  framesOf,
  putSegment,
  putSegmentOfParts,
  putSegmentPart,
  putTimeline,
  putTimelineEnd,
  readParts,
  readSegment,
  readTimelines,
} from '../../repository/archive/archive.ts';
import { ARCHIVE_LEASE_MS, ArchiveLease } from '../../repository/archive/lease.ts';
import { timelineFolder } from '../../repository/archive/names.ts';
import { dropOldSegments } from '../../repository/archive/retention.ts';
import { compressFrame } from '../../repository/backups/zstd-frames.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { S3Store } from '../../repository/s3/store.ts';
import type { Store } from '../../repository/store.ts';
import { pausingAt } from './failing-store.ts';

/** A name that is no part of a key as it stands. */
const ID = { plan: 'orders', database: '../s h.op/ü' };
const MICROS = microsOfIso('2026-11-30T03:00:00.000000Z');

const TIMELINE: Timeline = {
  formatVersion: 1,
  id: '20261130T030000000Z-0000000000000001',
  ...ID,
  systemIdentifier: '7412345678901234567',
  databaseOid: 16_384,
  slot: 'holdfast_x',
  plugin: 'pgoutput',
  publication: 'holdfast_x',
  serverVersion: '15.18',
  tables: [{ table: 'public.orders', identity: 'default' }],
  notArchived: [{ table: 'public.log', reason: 'It has no replica identity.' }],
  startLsn: lsnOf(1n),
  createdAt: '2026-11-30T03:00:00.000000Z',
  snapshotXids: '10:12:10',
  schemaFingerprint: 'f',
};

const range = (start: number, end: number) => ({
  startLsn: lsnOf(BigInt(start)),
  endLsn: lsnOf(BigInt(end)),
  minCommitMicros: MICROS + start,
  maxCommitMicros: MICROS + end,
});

function body(...messages: readonly string[]): Buffer {
  const frames = messages.map((message) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(message));
    return Buffer.concat([length, Buffer.from(message)]);
  });
  return compressFrame(Buffer.concat([Buffer.from('{"formatVersion":1}\n'), ...frames]), 1);
}

async function textOf(store: Store, segment: StoredSegment): Promise<readonly string[]> {
  return Array.fromAsync(framesOf(readSegment(store, segment), segment.key), String);
}

interface Opened {
  readonly store: Store;
  readonly damage: (key: string) => Promise<void>;
}

function itKeepsAnArchive(open: () => Opened): void {
  it('gives back timelines and segments by a listing, and each segment’s messages', async () => {
    const { store } = open();
    await expect(putTimeline(store, TIMELINE)).resolves.toBe('created');
    await expect(putTimeline(store, TIMELINE)).resolves.toBe('exists');
    const first = await putSegment(store, ID, TIMELINE.id, range(1, 5), body('B', 'C'));
    const again = await putSegment(store, ID, TIMELINE.id, range(1, 5), body('B', 'C'));
    expect(again).toEqual(first);
    const second = await putSegment(store, ID, TIMELINE.id, range(5, 17), body());
    const [stored, ...others] = await readTimelines(store, ID);
    expect(others).toEqual([]);
    expect(stored).toEqual({ timeline: TIMELINE, segments: [first, second] });
    await expect(textOf(store, first)).resolves.toEqual(['{"formatVersion":1}', 'B', 'C']);
    await expect(textOf(store, second)).resolves.toEqual(['{"formatVersion":1}']);
    await expect(archivedDatabases(store, ID.plan)).resolves.toContain(ID.database);
    const end = {
      formatVersion: 1,
      timeline: TIMELINE.id,
      lsn: lsnOf(17n),
      endedAt: '2026-11-30T03:00:00.000Z',
      code: 'gap',
      reason: 'A gap.',
    } as const;
    await putTimelineEnd(store, ID, end);
    await expect(putTimelineEnd(store, ID, { ...end, reason: 'Another.' })).resolves.toBe('exists');
    const ended = await readTimelines(store, ID);
    expect(ended[0]?.end).toEqual(end);
    expect(archiveWindow(ID.database, ended).holes).toEqual([
      { fromMicros: MICROS + 17, reason: 'A gap.', code: 'gap' },
    ]);
  });

  it('reads a transaction that lies in parts as one segment', async () => {
    const { store } = open();
    const id = { ...ID, database: 'parts' };
    await putTimeline(store, { ...TIMELINE, ...id });
    const large = randomBytes(3000).toString('hex');
    const whole = Buffer.concat([Buffer.from('{}\n'), Buffer.from([0, 0, 0x17, 0x70]), Buffer.from(large)]);
    const parts = [];
    for (const piece of [whole.subarray(0, 2), whole.subarray(2, 1000), whole.subarray(1000)]) {
      parts.push(await putSegmentPart(store, id, TIMELINE.id, compressFrame(piece, 1)));
    }
    await putSegmentOfParts(store, id, TIMELINE.id, range(1, 5), parts);
    const segments = (await readTimelines(store, id))[0]?.segments ?? [];
    expect(segments).toHaveLength(1);
    for (const segment of segments) await expect(textOf(store, segment)).resolves.toEqual(['{}', large]);
  });

  it('refuses a segment whose bytes differ from its name', async () => {
    const { store, damage } = open();
    const id = { ...ID, database: 'damaged' };
    const segment = await putSegment(store, id, TIMELINE.id, range(1, 5), body('B', 'C'));
    await damage(segment.key);
    await expect(textOf(store, segment)).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
  });

  it('refuses a segment that ends within a message', async () => {
    const { store } = open();
    const id = { ...ID, database: 'short' };
    const cut = compressFrame(Buffer.from('{}\n\0\0\0\x05abc'), 1);
    const segment = await putSegment(store, id, TIMELINE.id, range(1, 5), cut);
    await expect(textOf(store, segment)).rejects.toMatchObject({ code: 'ARCHIVE_BAD_SEGMENT' });
  });

  it('drops what is old from the beginning on, parts too, and never from the middle', async () => {
    const { store } = open();
    const id = { plan: 'retained', database: 'd' };
    const at = (timeline: string, start: number, end: number, maxCommitMicros: number) =>
      putSegment(store, id, timeline, { ...range(start, end), maxCommitMicros }, body(`${start}`));
    const limitMs = MICROS / 1000 + 1_000;
    const [old, young] = [MICROS, MICROS + 2_000_000];
    const ended = {
      formatVersion: 1,
      lsn: lsnOf(9n),
      endedAt: '2026-11-30T03:00:00.000Z',
      code: 'gap',
      reason: 'A gap.',
    } as const;
    for (const name of ['1', '2', '3']) await putTimeline(store, { ...TIMELINE, ...id, id: name });
    for (const timeline of ['1', '2']) await putTimelineEnd(store, id, { ...ended, timeline });
    // A later transaction may have an earlier time; what stands before the first young segment is old, nothing else.
    await at('2', 1, 2, old);
    await at('2', 2, 3, young);
    await at('2', 3, 4, old);
    const parts = [await putSegmentPart(store, id, '1', body('part'))];
    await putSegmentOfParts(store, id, '1', { ...range(1, 9), maxCommitMicros: old }, parts);
    await at('3', 1, 2, old);
    await at('3', 2, 3, old);
    const options = { signal: new AbortController().signal, heartbeat: () => undefined };
    const dropped = await dropOldSegments(store, id.plan, limitMs, options);
    expect(dropped.deletedSegments).toBe(3);
    const left = await readTimelines(store, id);
    // The last segment of the newest timeline says where the archive goes on.
    expect(
      left.map(({ timeline, segments }) => [timeline.id, segments.map(({ startLsn }) => startLsn)]),
    ).toEqual([
      ['2', [lsnOf(2n), lsnOf(3n)]],
      ['3', [lsnOf(2n)]],
    ]);
    const keys = await Array.fromAsync(store.list('archive/retained/d/'), ({ key }) => key);
    expect(keys.filter((key) => key.includes('/parts/') || key.includes('/d/1/'))).toEqual([]);
  });

  it('keeps a part that a younger transaction has too, until that one goes', async () => {
    const { store } = open();
    const id = { plan: 'shared-parts', database: 'd' };
    const micros = (second: number) => MICROS + second * 1_000_000;
    await putTimeline(store, { ...TIMELINE, ...id });
    // Each night the same rows are written anew: all but the ends of the transactions are the same bytes.
    const same = await putSegmentPart(store, id, TIMELINE.id, body('the same rows'));
    for (const night of [1, 2, 3]) {
      const own = await putSegmentPart(store, id, TIMELINE.id, body(`commit ${night}`));
      const times = { minCommitMicros: micros(night), maxCommitMicros: micros(night) };
      await putSegmentOfParts(store, id, TIMELINE.id, { ...range(night, night + 1), ...times }, [same, own]);
    }
    const options = { signal: new AbortController().signal, heartbeat: () => undefined };
    await dropOldSegments(store, id.plan, micros(2) / 1000, options);
    const [left] = await readTimelines(store, id);
    expect(left?.segments.map(({ startLsn }) => startLsn)).toEqual([lsnOf(2n), lsnOf(3n)]);
    for (const segment of left?.segments ?? []) {
      for (const part of await readParts(store, segment))
        await expect(store.get(part.key)).resolves.toBeDefined();
    }
    await dropOldSegments(store, id.plan, micros(3) / 1000, options);
    const parts = await Array.fromAsync(store.list(timelineFolder(id, TIMELINE.id)), ({ key }) => key);
    expect(parts.filter((key) => key.includes('/parts/'))).toHaveLength(2);
  });

  it('keeps what says that nothing was committed for long, since a base from that time begins with it', async () => {
    const { store } = open();
    const id = { plan: 'long-idle', database: 'd' };
    const at = (start: number, hours: number) => {
      const micros = MICROS + hours * 3_600_000_000;
      const times = { minCommitMicros: micros, maxCommitMicros: micros };
      return putSegment(store, id, TIMELINE.id, { ...range(start, start + 1), ...times }, body());
    };
    await putTimeline(store, { ...TIMELINE, ...id });
    for (const [start, hours] of [
      [1, 0],
      [2, 1],
      [3, 9],
    ] as const) {
      await at(start, hours);
    }
    const options = { signal: new AbortController().signal, heartbeat: () => undefined };
    await dropOldSegments(store, id.plan, MICROS / 1000 + 5 * 3_600_000, options);
    const [left] = await readTimelines(store, id);
    expect(left?.segments.map(({ startLsn }) => startLsn)).toEqual([lsnOf(2n), lsnOf(3n)]);
  });

  describe('its lease', () => {
    const id = { ...ID, database: 'lease' };
    let clock = MICROS / 1000;
    const now = () => clock;

    it('is given to one of two who ask at once, and to the other when it was let go', async () => {
      const { store } = open();
      const holders = ['a', 'b'].map((token) => ({ owner: `run ${token}`, token, sinceMs: 1, now }));
      const asked = await Promise.allSettled(holders.map((holder) => ArchiveLease.take(store, id, holder)));
      expect(asked.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      const winner = asked.find((each) => each.status === 'fulfilled');
      const refused = asked.find((each) => each.status === 'rejected');
      expect(refused?.reason).toMatchObject({ code: 'ARCHIVE_RUNNING', transient: true });
      clock += ARCHIVE_LEASE_MS - 1;
      const other = { owner: 'run c', token: 'c', sinceMs: 1, now };
      await expect(ArchiveLease.take(store, id, other)).rejects.toMatchObject({ code: 'ARCHIVE_RUNNING' });
      await winner?.value.renew();
      clock += ARCHIVE_LEASE_MS - 1;
      await expect(ArchiveLease.take(store, id, other)).rejects.toMatchObject({ code: 'ARCHIVE_RUNNING' });
      await winner?.value.release();
      const taken = await ArchiveLease.take(store, id, other);
      await taken.release();
    });

    it('is lost to another one when it ran out, and its old holder learns it before it stores anything', async () => {
      const { store } = open();
      const old = await ArchiveLease.take(store, id, { owner: 'old', token: 'o', sinceMs: 1, now });
      await old.hold();
      clock += ARCHIVE_LEASE_MS + 1;
      const successor = await ArchiveLease.take(store, id, { owner: 'new', token: 'n', sinceMs: 1, now });
      await expect(old.hold()).rejects.toMatchObject({ code: 'ARCHIVE_LEASE_LOST' });
      await expect(old.renew()).rejects.toMatchObject({ code: 'ARCHIVE_LEASE_LOST' });
      await old.release();
      await successor.hold();
      clock += ARCHIVE_LEASE_MS / 2;
      await successor.hold();
      expect(successor.untilMs).toBe(clock + ARCHIVE_LEASE_MS);
      await successor.release();
    });

    it('is not had by one that stood still while others took it, wherever that was', async () => {
      const { store } = open();
      for (let pauseAt = 1; ; pauseAt++) {
        const own = { ...id, database: `asleep-${pauseAt}` };
        const asleep = Promise.withResolvers<'asleep'>();
        const awake = Promise.withResolvers<void>();
        const paused = pausingAt(store, pauseAt, () => asleep.resolve('asleep'), awake.promise);
        const late = ArchiveLease.take(paused, own, { owner: 'late', token: 'l', sinceMs: 1, now });
        const ended = late.then(
          () => 'had',
          () => 'refused',
        );
        if ((await Promise.race([asleep.promise, ended])) !== 'asleep') break;
        let others = 0;
        for (const token of ['1', '2']) {
          const other = { owner: 'other', token, sinceMs: Number(token), now };
          const taken = await ArchiveLease.take(store, own, other).catch((error: unknown) => {
            expect(error).toMatchObject({ code: 'ARCHIVE_RUNNING' });
          });
          if (taken !== undefined) others += 1;
        }
        awake.resolve();
        expect([pauseAt, await ended]).toEqual([pauseAt, others > 0 ? 'refused' : 'had']);
      }
    });

    it('goes to the next attempt of the same run at once, and never back to the one before', async () => {
      const { store } = open();
      const first = await ArchiveLease.take(store, id, { owner: 'run', token: '1', sinceMs: 1, now });
      const second = await ArchiveLease.take(store, id, { owner: 'run', token: '2', sinceMs: 2, now });
      await expect(first.hold()).rejects.toMatchObject({ code: 'ARCHIVE_LEASE_LOST' });
      await expect(
        ArchiveLease.take(store, id, { owner: 'run', token: '1', sinceMs: 1, now }),
      ).rejects.toMatchObject({ code: 'ARCHIVE_RUNNING' });
      await second.hold();
    });
  });
}

describe('framed messages', () => {
  it('come whole however their text is cut', async () => {
    const messages = ['', 'a', 'four', 'x'.repeat(300), 'ä'];
    const framed = messages.map((message) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(Buffer.byteLength(message));
      return Buffer.concat([length, Buffer.from(message)]);
    });
    const text = Buffer.concat([Buffer.from('the header\n'), ...framed]);
    for (const size of [1, 2, 3, 5, 11, 64, text.length]) {
      async function* pieces(): AsyncGenerator<Buffer> {
        for (let at = 0; at < text.length; at += size) yield text.subarray(at, at + size);
      }
      await expect(Array.fromAsync(framesOf(pieces(), 'it'), String)).resolves.toEqual([
        'the header',
        ...messages,
      ]);
    }
  });

  it('are put together once, however many pieces they come in', async () => {
    const [pieces, pieceBytes] = [256, 64 * 1024];
    async function* text(): AsyncGenerator<Buffer> {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(pieces * pieceBytes);
      yield Buffer.concat([Buffer.from('{}\n'), length]);
      for (let piece = 0; piece < pieces; piece += 1) yield Buffer.alloc(pieceBytes);
    }
    const concat = jest.spyOn(Buffer, 'concat');
    const [, message] = await Array.fromAsync(framesOf(text(), 'it'));
    const copied = concat.mock.results.reduce((sum, { value }) => sum + (value as Buffer).length, 0);
    concat.mockRestore();
    expect(message).toHaveLength(pieces * pieceBytes);
    expect(copied).toBeLessThan(3 * pieces * pieceBytes);
  });
});

describe('an archive of changes in a directory', () => {
  let scratch: ScratchFolder;
  let store: DirectoryStore;
  let root: string;
  beforeAll(async () => {
    scratch = await createScratchFolder('archive');
    root = path.join(scratch.path, 'repository');
    await mkdir(root);
    store = new DirectoryStore(root);
  });
  afterAll(() => scratch.remove());
  itKeepsAnArchive(() => ({ store, damage: (key) => flipLastByte(path.join(root, key)) }));
});

describe('an archive of changes in S3', () => {
  let gateway: S3Gateway;
  let store: S3Store;
  beforeAll(async () => {
    gateway = await startS3Gateway();
    await gateway.createBucket('archive');
    store = await S3Store.open(
      {
        kind: 's3',
        bucket: 'archive',
        prefix: 'p',
        region: gateway.region,
        endpoint: gateway.endpoint,
        credentials: { accessKeyId: { env: 'KEY' }, secretAccessKey: { env: 'SECRET' } },
      },
      async (reference) =>
        'env' in reference && reference.env === 'KEY' ? gateway.accessKeyId : gateway.secretAccessKey,
    );
  });
  afterAll(async () => {
    await store.close();
    await gateway.stop();
  });
  itKeepsAnArchive(() => ({
    store,
    damage: (key) => flipLastByte(path.join(gateway.directory, 'archive', 'p', key)),
  }));
});

async function flipLastByte(file: string): Promise<void> {
  const bytes = await readFile(file);
  const last = bytes.length - 1;
  bytes.writeUInt8(bytes.readUInt8(last) ^ 1, last);
  await writeFile(file, bytes);
}
