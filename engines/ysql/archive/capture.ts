import { type Lsn, microsOfIso, positionOf, type TimelineEnd } from '../../../model/archive.ts';
import { defined } from '../../../model/defined.ts';
import { HoldfastError } from '../../../model/errors.ts';
import { wholeMicrosBefore } from '../../../model/hybrid-time.ts';
import { putSegmentPart, type SegmentPart } from '../../../repository/archive/archive.ts';
import { crashPoint } from '../../../repository/crash-points.ts';
import { connect, resolveTarget, type Session, withSession } from '../server/session.ts';
import type { ArchiveContext } from './context.ts';
import { IdleRecord } from './idle-record.ts';
import { endTimeline, type OpenedTimeline, schemaObstacle, slotObstacle } from './open.ts';
import { withKeyMarked } from './relation-keys.ts';
import { ARCHIVE_SLOT_EXPIRED, ReplicationStream, type StreamListener } from './replication-stream.ts';
import { momentAfter, readSequences } from './sample.ts';
import { type ClosedSegment, SegmentBuilder } from './segment-builder.ts';
import { dropSlot } from './slot.ts';
import type { Slot } from './source-kind.ts';
import { storeSegment } from './store-segment.ts';
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
  const { source, stored } = opened;
  const { slot, publication } = stored.timeline;
  const target = await resolveTarget(context, request.source.connection);
  const side = await connect(target, request.database, signal);
  const capture = new Capture(context, opened, side, rhythm);
  let end: TimelineEnd | 'reopen';
  try {
    await capture.prepare();
    do {
      const from = { source, slot, publication, from: capture.stored };
      const stream = await ReplicationStream.open(target, request.database, from, capture, signal);
      try {
        end = await capture.run(stream);
      } finally {
        await stream.close();
      }
    } while (end === 'reopen');
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== ARCHIVE_SLOT_EXPIRED) throw error;
    const obstacle = { code: 'slot-lost', reason: error.message, lsn: capture.stored } as const;
    end = await endTimeline(context, stored, obstacle);
  } finally {
    await side.close();
  }
  if (source.freesLate) return end;
  await withSession(target, request.database, signal, (session) =>
    dropSlot(source, session, slot, { signal, forMs: source.freeWithinMs }),
  );
  return end;
}

class Capture implements StreamListener {
  readonly #context: ArchiveContext;
  readonly #opened: OpenedTimeline;
  readonly #side: Session;
  readonly #rhythm: CaptureRhythm;
  readonly #builder: SegmentBuilder;
  /** Columns of primary keys, on YugabyteDB. */
  #keys: ReadonlyMap<string, readonly string[]> = new Map();
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
  /** On PostgreSQL. */
  readonly #idle: IdleRecord | undefined;
  /** In this stream. */
  #hasAcknowledged = false;
  #reopen: (() => void) | undefined;
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
    const { source } = opened;
    this.#builder = new SegmentBuilder(
      positionOf(opened.end),
      source.lacksKeyMarks ? (relation) => withKeyMarked(relation, this.#keys) : undefined,
    );
    const waits = { idleMs: rhythm.idleMs, lagMs: context.request.policy.lagMs };
    this.#idle = source.idle === 'record' ? new IdleRecord(source, side, waits) : undefined;
    this.#stored = opened.end;
    const { timeline, segments } = opened.stored;
    this.#storedUntilMicros = segments.reduce(
      (newest, { maxCommitMicros }) => Math.max(newest, maxCommitMicros),
      microsOfIso(timeline.createdAt),
    );
    this.#failure.promise.catch(() => undefined);
  }

  /** Everything before it is stored. */
  get stored(): Lsn {
    return this.#stored;
  }

  /** Until the timeline ends, or until the stream should be begun anew, which only happens while nothing waits to be stored. */
  async run(stream: ReplicationStream): Promise<TimelineEnd | 'reopen'> {
    this.#stream = stream;
    this.#hasAcknowledged = false;
    const { promise: reopened, resolve } = Promise.withResolvers<'reopen'>();
    this.#reopen = () => resolve('reopen');
    this.#report();
    const ticker = setInterval(() => this.#tick(), this.#rhythm.tickMs);
    const sideLost = this.#side.lost.then((error) => Promise.reject(error));
    const ends = [stream.ended, this.#failure.promise, this.#over.promise, sideLost, reopened] as const;
    let isReopening = false;
    try {
      const end = await Promise.race(ends);
      isReopening = end === 'reopen';
      return end;
    } finally {
      clearInterval(ticker);
      this.#reopen = undefined;
      if (!isReopening) this.#isOver = true;
      // The job under way ends by itself or by the signal. What it stored counts: the next attempt finds it.
      await this.#jobs;
    }
  }

  message(payload: Buffer): void {
    // What comes after the decision to begin anew comes again.
    if (this.#isOver || this.#reopen === undefined) return;
    const mayClose = this.#builder.take(payload, Date.now());
    const { segmentBytes } = this.#context.request.policy;
    if (mayClose) {
      if (this.#builder.heldBytes >= segmentBytes || this.#parts.length > 0 || this.#isLate()) this.#close();
    } else if (this.#builder.openTransactionBytes >= segmentBytes) {
      this.#storePart();
    }
  }

  keepalive(position: bigint, replyRequested: boolean): void {
    this.#owesReply ||= replyRequested;
    // What waits to be stored is stored first, so a busy moment is no reason to pass a position over: the next may be busy too.
    if (this.#isOver || this.#idle === undefined) return;
    if (!this.#builder.isEmpty || position <= this.#builder.end) return;
    const until = this.#idle.untilAt(position);
    if (until !== undefined) {
      this.#store(this.#builder.closeIdle(position, Math.max(this.#storedUntilMicros, until)), []);
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
    const due = this.#idle?.due(now - this.#storedAt);
    if (due !== undefined) this.#enqueue(due);
  }

  #close(): void {
    const parts = this.#parts;
    this.#parts = [];
    this.#store(this.#builder.close(), parts);
  }

  #storePart(): void {
    const frames = this.#builder.takePart();
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
    this.#idle?.reset();
    this.#enqueue(() => this.#put(closed, parts));
  }

  async #put(closed: ClosedSegment, parts: readonly SegmentPart[]): Promise<void> {
    const { timeline } = this.#opened.stored;
    const { sample, tables } = await this.#sample(closed.endLsn);
    // Nothing is stored that may not fit the timeline's tables: so whatever is stored can be replayed.
    if (await this.#endIfAltered(tables)) return;
    await storeSegment(this.#context, timeline.id, closed, parts, sample);
    crashPoint('archive-stored');
    this.#stored = closed.endLsn;
    this.#storedUntilMicros = Math.max(this.#storedUntilMicros, closed.maxCommitMicros);
    this.#segments += 1;
    this.#transactions += closed.transactions;
    this.#storedBytes += parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, closed.storedBytes);
    this.#stream?.acknowledge(positionOf(closed.endLsn));
    this.#hasAcknowledged ||= closed.transactions > 0;
    this.#report();
  }

  /** Sequences and schema, read after the segment's last commit. */
  async #sample(end: Lsn) {
    const sampledAt = await momentAfter(this.#opened.source, this.#side, end, this.#context.signal);
    const sequences = await readSequences(this.#side);
    const tables = await this.#readTables();
    const { schemaFingerprint } = tables;
    return { tables, sample: { ...defined({ sequences }), schemaFingerprint, sampledAt } };
  }

  /** Which columns are keys has to be known before the first message comes. */
  async prepare(): Promise<void> {
    await this.#readTables();
  }

  async #readTables(): Promise<ArchivableTables> {
    const { source, stored } = this.#opened;
    const { publication } = stored.timeline;
    const tables = await archivableTables(
      this.#side,
      source.tables,
      this.#context.request.source,
      publication,
    );
    this.#keys = tables.keys;
    return tables;
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
    const { source, stored } = this.#opened;
    const { timeline } = stored;
    const { lease, request, signal } = this.#context;
    const slot = await source.readSlot(this.#side, timeline.slot);
    const obstacle =
      slot === undefined
        ? ({
            code: 'slot-lost',
            reason: `The source has no replication slot ${timeline.slot} any more.`,
          } as const)
        : slotObstacle(source, slot, { timeline, end: this.#stored, policy: request.policy });
    if (obstacle !== undefined) {
      await this.#stream?.close();
      this.#finish(await endTimeline(this.#context, stored, { lsn: this.#stored, ...obstacle }));
      return;
    }
    await lease.hold({ signal });
    if (await this.#endIfAltered(await this.#readTables())) return;
    if (slot?.safeEnd !== undefined) this.#moveToSafePoint(slot.safeEnd);
  }

  /**
   * On YugabyteDB: the slot shows a position up to which everything was sent and acknowledged, so nothing earlier will come. It moves while the source is
   * idle, each minute, but for a stream that has acknowledged something: that has to be begun anew first (cdcsdk_virtual_wal.cc, UpdateRestartTimeIfRequired,
   * compares what was acknowledged, one behind the last commit, with the last commit).
   */
  #moveToSafePoint(safeEnd: NonNullable<Slot['safeEnd']>): void {
    // This look itself is the one job that there may be.
    if (!this.#builder.isEmpty || this.#waiting > 1) return;
    const position = positionOf(safeEnd);
    if (position > this.#builder.end) {
      const micros = Math.max(this.#storedUntilMicros, Number(wholeMicrosBefore(position)));
      this.#store(this.#builder.closeIdle(position, micros), []);
      return;
    }
    if (this.#hasAcknowledged && Date.now() - this.#storedAt >= this.#rhythm.idleMs) {
      this.#reopen?.();
      this.#reopen = undefined;
    }
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
