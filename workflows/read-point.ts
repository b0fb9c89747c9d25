import {
  ApplicationFailure,
  CancellationScope,
  condition,
  isCancellation,
  setHandler,
} from '@temporalio/workflow';
import type { Activities } from '../activities/contract.ts';
import type { BackupRef, ReadPoint } from '../model/backup.ts';
import type { ScheduledSnapshot } from '../model/carried-history.ts';
import { defined } from '../model/defined.ts';
import { READ_POINT_LOST } from '../model/errors.ts';
import type { Source } from '../model/pipeline.ts';
import { ignoreCancellation, isReadPointLost } from './failures.ts';
import { readPointOpened } from './messages.ts';

/** How long a holder has to notice that its read point is gone. After that the holder is replaced. */
const HOLDER_GRACE_MS = 60_000;

/** A backup gives up after this many read points, even if its snapshot step has `maximumAttempts: 0`. */
const MAX_EPOCHS = 100;

/** A universe's snapshots are retaken at most this often, where the schema changed meanwhile. After that the error says so. */
const MAX_UNIVERSE_EPOCHS = 10;

/**
 * The read point of one backup. Where any session can name the instant again, it lasts until the server forgets that instant. On
 * PostgreSQL it lasts as long as the session that the `snapshot` activity holds. After a loss, a retry of that activity opens the
 * next read point and so begins a new epoch. Everything is then read again, so a manifest never mixes two instants.
 */
export class ReadPointKeeper {
  readonly #activities: Activities;
  readonly #source: Source;
  readonly #ref: BackupRef;
  readonly #scheduled: ScheduledSnapshot | undefined;
  #current: ReadPoint | undefined;
  #failure: unknown;
  #closing = false;
  #holder = new CancellationScope();
  #holding: Promise<void> = Promise.resolve();
  #held = false;

  /** @param scheduled the snapshot to use as read point. Absent: the backup takes one of its own */
  constructor(activities: Activities, source: Source, ref: BackupRef, scheduled?: ScheduledSnapshot) {
    this.#activities = activities;
    this.#source = source;
    this.#ref = ref;
    this.#scheduled = scheduled;
    setHandler(readPointOpened, (readPoint) => this.#opened(readPoint), {
      description: 'Sent by the snapshot activity: a read point is open',
    });
  }

  get epoch(): number {
    return this.#current?.epoch ?? 0;
  }

  /** Starts `snapshot` and returns as soon as its read point is open. */
  async open(): Promise<ReadPoint> {
    const firstEpoch = this.epoch + 1;
    // The step's scope must not end it: the read point is held until `close`, also while the run is being cancelled.
    this.#holding = CancellationScope.nonCancellable(() => {
      const holder = new CancellationScope();
      this.#holder = holder;
      this.#held = true;
      return holder.run(() => this.#hold(holder, firstEpoch));
    });
    await condition(() => this.epoch >= firstEpoch || this.#failure !== undefined);
    return this.#require();
  }

  /**
   * Runs `work` at the current read point. Each time the read point is lost, `work` begins anew at the next one. `onLost` gets the
   * number of the epoch that was lost.
   */
  async during<T>(work: (readPoint: ReadPoint) => Promise<T>, onLost: (epoch: number) => void): Promise<T> {
    for (;;) {
      const readPoint = this.#require();
      const moved = () => this.epoch !== readPoint.epoch || this.#failure !== undefined;
      const scope = new CancellationScope();
      const watcher = new CancellationScope();
      const watching = watcher
        .run(() => condition(moved).then(() => scope.cancel()))
        .catch(ignoreCancellation);
      try {
        return await scope.run(() => work(readPoint));
      } catch (error) {
        if (!moved() && !isReadPointLost(error)) throw error;
        // A scheduled snapshot can't be replaced: another one would be of another instant.
        if (this.#scheduled !== undefined || readPoint.epoch >= maxEpochs(readPoint)) throw error;
        onLost(readPoint.epoch);
        await this.#renewed(moved);
      } finally {
        watcher.cancel();
        await watching;
      }
    }
  }

  /** Releases the read point. Its holder learns of this by its next heartbeat. Called at the end of every run, sometimes twice. */
  release(): void {
    this.#closing = true;
    this.#holder.cancel();
  }

  /** Releases the read point and waits until its session has ended. */
  async close(): Promise<void> {
    this.release();
    await this.#holding;
  }

  async #hold(holder: CancellationScope, firstEpoch: number): Promise<void> {
    try {
      const scheduled = defined({ scheduled: this.#scheduled });
      this.#opened(
        await this.#activities.snapshot({ source: this.#source, firstEpoch, ref: this.#ref, ...scheduled }),
      );
    } catch (error) {
      // A holder that was released or replaced ends by cancellation. Any other end is a failure of the backup.
      if (!(isCancellation(error) && (this.#closing || this.#holder !== holder))) this.#failure = error;
    } finally {
      if (this.#holder === holder) this.#held = false;
    }
  }

  async #renewed(moved: () => boolean): Promise<void> {
    // The holder of a universe's snapshot can't notice that the schema was changed, so waiting for it is useless.
    const notices = this.#held && !isSnapshotOfUniverse(this.#current);
    if (notices && (await condition(moved, HOLDER_GRACE_MS))) return;
    if (moved()) return;
    const previous = this.#holder;
    const ended = this.#holding;
    const next = this.open();
    previous.cancel();
    await ended;
    await next;
  }

  #opened(readPoint: ReadPoint): void {
    if (readPoint.epoch > this.epoch) this.#current = readPoint;
  }

  #require(): ReadPoint {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#current === undefined) {
      throw ApplicationFailure.create({ type: READ_POINT_LOST, message: 'no read point is open' });
    }
    return this.#current;
  }
}

function maxEpochs(readPoint: ReadPoint): number {
  return isSnapshotOfUniverse(readPoint) ? MAX_UNIVERSE_EPOCHS : MAX_EPOCHS;
}

/**
 * Such a snapshot lives in the universe, not in a session, so its holder can't notice when it becomes useless (by a change of the
 * schema).
 */
function isSnapshotOfUniverse(readPoint: ReadPoint | undefined): boolean {
  return readPoint?.kind === 'universe-snapshot';
}
