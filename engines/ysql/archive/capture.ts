import {
  type Lsn,
  microsOfIso,
  positionOf,
  type SegmentHeader,
  type TimelineEnd,
} from '../../../model/archive.ts';
import { defined } from '../../../model/defined.ts';
import {
  ARCHIVE_FORMAT_VERSION,
  putSegment,
  putSegmentOfParts,
  putSegmentPart,
  type SegmentPart,
} from '../../../repository/archive.ts';
import { compressFrame } from '../../../repository/backups/zstd-frames.ts';
import { crashPoint } from '../../../repository/crash-points.ts';
import { connect, resolveTarget, type Session, withSession } from '../server/session.ts';
import type { ArchiveContext } from './context.ts';
import { endTimeline, type OpenedTimeline, schemaObstacle, slotObstacle } from './open.ts';
import { ReplicationStream, type StreamListener } from './replication-stream.ts';
import { type ClosedSegment, SegmentBuilder } from './segment-builder.ts';
import { type Moment, moveIdlePosition, readMoment, readSequences, readSlot } from './server-state.ts';
import { dropClosedSlot } from './slot.ts';
import { type ArchivableTables, archivableTables } from './tables.ts';

/** How often things are looked at, milliseconds. A test has them more often. */
export interface CaptureRhythm {
  readonly tickMs: number;
  /** Slot and schema. */
  readonly watchMs: number;
  /** While the whole server is idle, the window's end moves so often. While other databases are written to, after the policy's lag. */
  readonly idleMs: number;
}

const RHYTHM: CaptureRhythm = { tickMs: 200, watchMs: 10_000, idleMs: 60_000 };

/** So many closed segments or parts may wait for the store; then the source waits. Bounds memory to about three segments. */
const JOBS_AHEAD = 2;

/**
 * A commit's time is taken a moment before its record is written (0.03 % of commits lie below the running maximum, by at most 2.8 ms:
 * facts, change archive, section 2). Idle time is told with this margin.
 */
const CLOCK_MARGIN_MICROS = 1_000_000;

/** What a person is told of a stream that runs. */
export interface CaptureProgress {
  readonly database: string;
  readonly timeline: string;
  /** Stored up to here. */
  readonly lsn: Lsn;
  readonly storedUntilMicros: number;
  readonly segments: number;
  readonly transactions: number;
  readonly storedBytes: number;
}

/**
 * Stores the changes of one database until its timeline ends, and says why it did. Each segment is stored before the source is told its
 * position (C1). An abort or a failure leaves a whole chain: the next call goes on where storage ends.
 */
export async function captureChanges(
  context: ArchiveContext,
  opened: OpenedTimeline,
  rhythm: CaptureRhythm = RHYTHM,
): Promise<TimelineEnd> {
  const { request, signal } = context;
  const target = await resolveTarget(context, request.source.connection);
  const side = await connect(target, request.database, signal);
  const capture = new Capture(context, opened, side, rhythm);
  const { slot, publication } = opened.stored.timeline;
  let end: TimelineEnd;
  try {
    const from = { slot, publication, from: opened.end };
    const stream = await ReplicationStream.open(target, request.database, from, capture, signal);
    try {
      end = await capture.run(stream);
    } finally {
      await stream.close();
    }
  } finally {
    await side.close();
  }
  await withSession(target, request.database, signal, (session) => dropClosedSlot(session, slot, signal));
  return end;
}

class Capture implements StreamListener {
  readonly #context: ArchiveContext;
  readonly #opened: OpenedTimeline;
  readonly #side: Session;
  readonly #rhythm: CaptureRhythm;
  readonly #builder: SegmentBuilder;
  readonly #failure = Promise.withResolvers<never>();
  readonly #over = Promise.withResolvers<TimelineEnd>();
  #stream: ReplicationStream | undefined;
  /** Everything that is stored or asked of the source is done one after another. */
  #jobs: Promise<void> = Promise.resolve();
  #waiting = 0;
  #isOver = false;
  /** Parts of the segment under way. */
  #parts: SegmentPart[] = [];
  #stored: Lsn;
  #storedUntilMicros: number;
  #storedAt = Date.now();
  #watchedAt = Date.now();
  /** A look is waiting or under way. On a slow source one may take longer than the time between two. */
  #isWatching = false;
  #idle: Moment | undefined;
  /** What was asked of the source to move an idle window: nothing yet; the clock and a position; and to write a record, which makes it send one. */
  #askedIdle: 'nothing' | 'moment' | 'record' = 'nothing';
  /** The server told a position behind what is stored, though nothing came: another database of it is written to. */
  #isServerAhead = false;
  /** The server asked for a reply, perhaps while something was being stored. */
  #owesReply = false;
  #segments = 0;
  #transactions = 0;
  #storedBytes = 0;

  constructor(context: ArchiveContext, opened: OpenedTimeline, side: Session, rhythm: CaptureRhythm) {
    this.#context = context;
    this.#opened = opened;
    this.#side = side;
    this.#rhythm = rhythm;
    this.#builder = new SegmentBuilder(positionOf(opened.end));
    this.#stored = opened.end;
    const { timeline, segments } = opened.stored;
    this.#storedUntilMicros = segments.reduce(
      (newest, { maxCommitMicros }) => Math.max(newest, maxCommitMicros),
      microsOfIso(timeline.createdAt),
    );
    this.#failure.promise.catch(() => undefined);
  }

  async run(stream: ReplicationStream): Promise<TimelineEnd> {
    this.#stream = stream;
    this.#report();
    const ticker = setInterval(() => this.#tick(), this.#rhythm.tickMs);
    const sideLost = this.#side.lost.then((error) => Promise.reject(error));
    try {
      return await Promise.race([stream.ended, this.#failure.promise, this.#over.promise, sideLost]);
    } finally {
      clearInterval(ticker);
      this.#isOver = true;
      // The job under way ends by itself or by the signal. What it stored counts: the next attempt finds it.
      await this.#jobs;
    }
  }

  message(payload: Buffer): void {
    if (this.#isOver) return;
    const mayClose = this.#builder.take(payload, Date.now());
    const { segmentBytes } = this.#context.request.policy;
    if (mayClose) {
      if (this.#builder.heldBytes >= segmentBytes || this.#parts.length > 0 || this.#isLate()) this.#close();
    } else if (this.#builder.heldBytes >= segmentBytes && this.#builder.inTransaction) {
      this.#storePart();
    }
  }

  keepalive(position: bigint, replyRequested: boolean): void {
    this.#owesReply ||= replyRequested;
    // What waits to be stored is stored first, so a busy moment is no reason to pass a position over: the next may be busy too.
    if (this.#isOver || !this.#builder.isEmpty || position <= this.#builder.end) return;
    this.#isServerAhead = true;
    const idle = this.#idle;
    if (idle !== undefined && position >= positionOf(idle.lsn)) {
      this.#idle = undefined;
      const micros = Math.max(this.#storedUntilMicros, idle.micros - CLOCK_MARGIN_MICROS);
      this.#store(this.#builder.closeIdle(position, micros), []);
    } else if (this.#owesReply) {
      // A server that shuts down waits until its slot has everything.
      this.#owesReply = false;
      this.#store(this.#builder.closeIdle(position, this.#storedUntilMicros), []);
    }
  }

  #isLate(): boolean {
    const { openedAt } = this.#builder;
    return openedAt !== undefined && Date.now() - openedAt >= this.#context.request.policy.lagMs;
  }

  #tick(): void {
    if (this.#isOver) return;
    const now = Date.now();
    if (!this.#builder.inTransaction && this.#isLate()) this.#close();
    if (!this.#isWatching && now - this.#watchedAt >= this.#rhythm.watchMs) {
      this.#isWatching = true;
      this.#enqueue(() => this.#watch());
    }
    if (!this.#builder.isEmpty || this.#waiting > 0) return;
    const idleMs = now - this.#storedAt;
    if (this.#askedIdle !== 'record' && idleMs >= this.#rhythm.idleMs) {
      this.#askedIdle = 'record';
      this.#enqueue(() => this.#askIdle('record'));
    } else if (
      // A plan's databases reach an instant together, so an idle one must not hold the others up. A server that moves by itself needs no record
      // of ours, which would move the other databases' archives in turn.
      this.#askedIdle === 'nothing' &&
      this.#isServerAhead &&
      idleMs >= this.#context.request.policy.lagMs
    ) {
      this.#askedIdle = 'moment';
      this.#enqueue(() => this.#askIdle('moment'));
    }
  }

  async #askIdle(what: 'moment' | 'record'): Promise<void> {
    if (what === 'record') await moveIdlePosition(this.#side);
    this.#idle = await readMoment(this.#side);
  }

  #close(): void {
    const parts = this.#parts;
    this.#parts = [];
    this.#store(this.#builder.close(), parts);
  }

  #storePart(): void {
    const frames = this.#builder.takeFrames();
    const parts = this.#parts;
    // It counts from now on, so that the commit closes the segment.
    const { store, request, signal } = this.#context;
    const timeline = this.#opened.stored.timeline.id;
    const index = parts.push(PENDING) - 1;
    this.#enqueue(async () => {
      parts[index] = await putSegmentPart(store, request, timeline, Buffer.concat(frames), { signal });
    });
  }

  #store(closed: ClosedSegment, parts: readonly SegmentPart[]): void {
    this.#storedAt = Date.now();
    this.#askedIdle = 'nothing';
    this.#isServerAhead = false;
    this.#idle = undefined;
    this.#enqueue(() => this.#put(closed, parts));
  }

  async #put(closed: ClosedSegment, parts: readonly SegmentPart[]): Promise<void> {
    const { store, request, signal, lease } = this.#context;
    const { timeline } = this.#opened.stored;
    const { sample, tables } = await this.#sample();
    // Nothing is stored that may not fit the timeline's tables: so whatever is stored can be replayed.
    if (await this.#endIfAltered(tables)) return;
    const header: SegmentHeader = {
      formatVersion: ARCHIVE_FORMAT_VERSION,
      timeline: timeline.id,
      startLsn: closed.startLsn,
      endLsn: closed.endLsn,
      transactions: closed.transactions,
      messages: closed.messages,
      ...sample,
    };
    const head = compressFrame(Buffer.from(`${JSON.stringify(header)}\n`), 1);
    const range = {
      startLsn: closed.startLsn,
      endLsn: closed.endLsn,
      minCommitMicros: closed.minCommitMicros,
      maxCommitMicros: closed.maxCommitMicros,
    };
    if (parts.length === 0) {
      await lease.hold({ signal });
      await putSegment(store, request, timeline.id, range, Buffer.concat([head, ...closed.frames]), {
        signal,
      });
    } else {
      const put = (body: Buffer) => putSegmentPart(store, request, timeline.id, body, { signal });
      const all = [await put(head), ...parts];
      if (closed.frames.length > 0) all.push(await put(Buffer.concat(closed.frames)));
      await lease.hold({ signal });
      await putSegmentOfParts(store, request, timeline.id, range, all, { signal });
    }
    crashPoint('archive-stored');
    this.#stored = closed.endLsn;
    this.#storedUntilMicros = Math.max(this.#storedUntilMicros, closed.maxCommitMicros);
    this.#segments += 1;
    this.#transactions += closed.transactions;
    this.#storedBytes += closed.storedBytes;
    this.#stream?.acknowledge(positionOf(closed.endLsn));
    this.#report();
  }

  /** Sequences and schema, read after the segment's last commit. */
  async #sample() {
    const sampledAt = await readMoment(this.#side);
    const sequences = await readSequences(this.#side);
    const tables = await this.#readTables();
    const { schemaFingerprint } = tables;
    return { tables, sample: { ...defined({ sequences }), schemaFingerprint, sampledAt } };
  }

  async #readTables(): Promise<ArchivableTables> {
    const { publication } = this.#opened.stored.timeline;
    return await archivableTables(this.#side, this.#context.request.source, publication);
  }

  /** Ends the timeline at what is stored where the schema is not the timeline's any more. */
  async #endIfAltered(tables: ArchivableTables): Promise<boolean> {
    const { stored } = this.#opened;
    const obstacle = schemaObstacle(stored, tables);
    if (obstacle === undefined) return false;
    this.#finish(await endTimeline(this.#context, stored, { lsn: this.#stored, ...obstacle }));
    return true;
  }

  async #watch(): Promise<void> {
    await this.#lookAround();
    this.#watchedAt = Date.now();
    this.#isWatching = false;
  }

  async #lookAround(): Promise<void> {
    const { stored } = this.#opened;
    const { slot: name } = stored.timeline;
    const { lease, request, signal } = this.#context;
    const slot = await readSlot(this.#side, name);
    const obstacle =
      slot === undefined
        ? ({ code: 'slot-lost', reason: `The source has no replication slot ${name} any more.` } as const)
        : slotObstacle(slot, this.#stored, request.policy.maxSourceLagBytes);
    if (obstacle !== undefined) {
      await this.#stream?.close();
      this.#finish(await endTimeline(this.#context, stored, { lsn: this.#stored, ...obstacle }));
      return;
    }
    await lease.hold({ signal });
    await this.#endIfAltered(await this.#readTables());
  }

  #finish(end: TimelineEnd): void {
    this.#isOver = true;
    this.#over.resolve(end);
  }

  #enqueue(job: () => Promise<void>): void {
    this.#waiting += 1;
    if (this.#waiting >= JOBS_AHEAD) this.#stream?.hold();
    this.#jobs = this.#jobs.then(async () => {
      try {
        if (!this.#isOver) await job();
      } catch (error) {
        this.#isOver = true;
        this.#failure.reject(error);
      } finally {
        this.#waiting -= 1;
        if (this.#waiting < JOBS_AHEAD && !this.#isOver) this.#stream?.resume();
      }
    });
  }

  #report(): void {
    const progress: CaptureProgress = {
      database: this.#context.request.database,
      timeline: this.#opened.stored.timeline.id,
      lsn: this.#stored,
      storedUntilMicros: this.#storedUntilMicros,
      segments: this.#segments,
      transactions: this.#transactions,
      storedBytes: this.#storedBytes,
    };
    this.#context.heartbeat(progress);
  }
}

/** Stands for a part that is being stored; the job that lists the parts comes after. */
const PENDING: SegmentPart = { sha256: '', sizeBytes: 0 };
