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

/** How long a holder may take to notice by itself that its read point is gone. After that it is replaced. */
const HOLDER_GRACE_MS = 60_000;

/** After this many read points a backup gives up, even if its snapshot has `maximumAttempts: 0`. */
const MAX_EPOCHS = 100;

/** A universe's snapshots are taken again when the schema changed meanwhile, at most this often. After that the error says so. */
const MAX_UNIVERSE_EPOCHS = 10;

/**
 * The read point of one backup. Where any session can name the instant again, the read point lasts until the server forgets it.
 * On PostgreSQL it lasts as long as the session that the `snapshot` activity holds. After a loss, the activity's retry opens the next
 * read point: a new epoch, in which everything is read again, so that a manifest never mixes two instants.
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

  /** @param scheduled the snapshot that is the read point, where the backup takes none of its own */
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
    // Outside the step's scope: it is held until `close`, also while the run is being cancelled.
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
   * Runs `work` at the current read point. Whenever that is lost, runs `work` again from the beginning at the next one. `onLost` gets
   * the epoch that is given up.
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
        // Another snapshot would not be the one that is to be exported.
        if (this.#scheduled !== undefined || readPoint.epoch >= maxEpochs(readPoint)) throw error;
        onLost(readPoint.epoch);
        await this.#renewed(moved);
      } finally {
        watcher.cancel();
        await watching;
      }
    }
  }

  /** Lets the read point go. Its holder learns of it with its next heartbeat. Always called at the end, perhaps twice. */
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
      // A holder that we let go ends by cancellation; any other end is the backup's failure.
      if (!(isCancellation(error) && (this.#closing || this.#holder !== holder))) this.#failure = error;
    } finally {
      if (this.#holder === holder) this.#held = false;
    }
  }

  async #renewed(moved: () => boolean): Promise<void> {
    // What is wrong with a snapshot of a universe (DDL came between) its holder can't notice.
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

/** It stands in the universe, not in a session: so its holder can't notice what is wrong with it (DDL came between). */
function isSnapshotOfUniverse(readPoint: ReadPoint | undefined): boolean {
  return readPoint?.kind === 'universe-snapshot';
}
