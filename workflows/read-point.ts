import {
  ApplicationFailure,
  CancellationScope,
  condition,
  isCancellation,
  setHandler,
} from '@temporalio/workflow';
import type { Activities } from '../activities/contract.ts';
import type { BackupRef, ReadPoint } from '../model/backup.ts';
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
  private readonly activities: Activities;
  private readonly source: Source;
  private readonly ref: BackupRef;
  private current: ReadPoint | undefined;
  private failure: unknown;
  private closing = false;
  private holder = new CancellationScope();
  private holding: Promise<void> = Promise.resolve();
  private held = false;

  constructor(activities: Activities, source: Source, ref: BackupRef) {
    this.activities = activities;
    this.source = source;
    this.ref = ref;
    setHandler(readPointOpened, (readPoint) => this.opened(readPoint), {
      description: 'Sent by the snapshot activity: a read point is open',
    });
  }

  get epoch(): number {
    return this.current?.epoch ?? 0;
  }

  /** Starts `snapshot` and returns as soon as its read point is open. */
  async open(): Promise<ReadPoint> {
    const firstEpoch = this.epoch + 1;
    // Outside of the step's scope, since it is held until `close`, also while the run is being cancelled.
    this.holding = CancellationScope.nonCancellable(() => {
      const holder = new CancellationScope();
      this.holder = holder;
      this.held = true;
      return holder.run(() => this.hold(holder, firstEpoch));
    });
    await condition(() => this.epoch >= firstEpoch || this.failure !== undefined);
    return this.require();
  }

  /**
   * Runs `work` at the current read point. Whenever that is lost, runs `work` again from the beginning at the next one. `onLost` gets
   * the epoch that is given up.
   */
  async during<T>(work: (readPoint: ReadPoint) => Promise<T>, onLost: (epoch: number) => void): Promise<T> {
    for (;;) {
      const readPoint = this.require();
      const moved = () => this.epoch !== readPoint.epoch || this.failure !== undefined;
      const scope = new CancellationScope();
      const watcher = new CancellationScope();
      const watching = watcher
        .run(() => condition(moved).then(() => scope.cancel()))
        .catch(ignoreCancellation);
      try {
        return await scope.run(() => work(readPoint));
      } catch (error) {
        if (!moved() && !isReadPointLost(error)) throw error;
        if (readPoint.epoch >= this.mostEpochs()) throw error;
        onLost(readPoint.epoch);
        await this.renewed(moved);
      } finally {
        watcher.cancel();
        await watching;
      }
    }
  }

  /** Lets the read point go. Its holder learns of it with its next heartbeat. Always called at the end, perhaps twice. */
  release(): void {
    this.closing = true;
    this.holder.cancel();
  }

  /** Releases the read point and waits until its session has ended. */
  async close(): Promise<void> {
    this.release();
    await this.holding;
  }

  private mostEpochs(): number {
    return this.source.engine === 'universe' ? MAX_UNIVERSE_EPOCHS : MAX_EPOCHS;
  }

  private async hold(holder: CancellationScope, firstEpoch: number): Promise<void> {
    try {
      this.opened(await this.activities.snapshot({ source: this.source, firstEpoch, ref: this.ref }));
    } catch (error) {
      // A holder that we release ends by cancellation. Any other end is a failure of the backup.
      if (!(isCancellation(error) && (this.closing || this.holder !== holder))) this.failure = error;
    } finally {
      if (this.holder === holder) this.held = false;
    }
  }

  private async renewed(moved: () => boolean): Promise<void> {
    // The holder can't notice what makes a universe's snapshot useless, such as DDL in between.
    const notices = this.held && this.source.engine !== 'universe';
    if (notices && (await condition(moved, HOLDER_GRACE_MS))) return;
    if (moved()) return;
    const previous = this.holder;
    const ended = this.holding;
    const next = this.open();
    previous.cancel();
    await ended;
    await next;
  }

  private opened(readPoint: ReadPoint): void {
    if (readPoint.epoch > this.epoch) this.current = readPoint;
  }

  private require(): ReadPoint {
    if (this.failure !== undefined) throw this.failure;
    if (this.current === undefined) {
      throw ApplicationFailure.create({ type: READ_POINT_LOST, message: 'no read point is open' });
    }
    return this.current;
  }
}
