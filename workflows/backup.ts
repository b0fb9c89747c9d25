import { ApplicationFailure, isCancellation, patched, uuid4, workflowInfo } from '@temporalio/workflow';
import { formatAmount, formatBytes, formatCount, formatDuration } from '../model/amounts.ts';
import type { BackupRef, BackupSummary, ExportSummary, ReadPoint, VerifyReport } from '../model/backup.ts';
import { TASKS_PER_BATCH } from '../model/backup.ts';
import type { ScheduledSnapshot } from '../model/carried-history.ts';
import { defined } from '../model/defined.ts';
import { tabletSource } from '../model/engine-kind.ts';
import type { Pipeline, Step, StepOf, UniverseSource } from '../model/pipeline.ts';
import { describeRows, NOT_COUNTED } from '../model/rows.ts';
import { timeInId } from '../model/run-id.ts';
import { readPointQueue } from '../model/task-queue.ts';
import type { TransferWindow } from '../model/transfer-window.ts';
import { openFor } from '../planning/transfer-window.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { describeFailure } from './failures.ts';
import { type BackupInput, type BackupOutcome, reportPace, type TransferInput } from './messages.ts';
import { ReadPointKeeper } from './read-point.ts';
import { RunFrame } from './run-frame.ts';
import { type NewsWish, tellOfStart } from './run-news.ts';
import type { RunProgress } from './run-progress.ts';
import { withDeadline } from './scopes.ts';
import { verifyByRestore } from './scratch-restore.ts';
import { saveAllTablets } from './tablets.ts';
import { moveBatch } from './transfer.ts';
import { WindowGate } from './window-gate.ts';

const CLEAN_UP_TIMEOUT_MS = 10 * 60_000;

/**
 * Interprets a compiled pipeline once. Each step starts when the steps that it needs have ended; its `when` decides whether it runs or is skipped.
 * The backup exists from the moment at which `upload` sealed it. A run that ends earlier leaves nothing behind.
 */
export async function backup(input: BackupInput): Promise<BackupOutcome> {
  const run = new BackupRun(input);
  return run.frame.run({
    work: () => run.interpret(),
    end: (outcome) => {
      const { bytes, rows } = outcome.summary;
      return { headline: headlineOf(outcome), figures: { bytes, rows }, facts: factsOf(outcome.summary) };
    },
    undo: () => run.abandon(),
    failure: ({ message }, isCancelled) => ({
      headline: isCancelled
        ? `Backup ${run.backup} was cancelled; ${run.leftBehind()}`
        : `Backup ${run.backup} FAILED: ${message}`,
    }),
  });
}

function factsOf({ rows, bytes, storedBytes, newBytes }: BackupSummary): Readonly<Record<string, string>> {
  return {
    rows: rows === null ? NOT_COUNTED : formatCount(rows),
    data: formatBytes(bytes),
    stored: formatBytes(storedBytes),
    ...(newBytes === undefined ? {} : { new: formatBytes(newBytes) }),
  };
}

type StepEnd = 'succeeded' | 'failed' | 'skipped';

class BackupRun {
  readonly frame: RunFrame;
  readonly #pipeline: Pipeline;
  readonly #scheduled: ScheduledSnapshot | undefined;
  /** When chunks or tablets may be begun. Absent: always. */
  readonly #window: TransferWindow | undefined;
  /** Present where agents move tablets. The transfer is then a different one, and the universe must delete its snapshots afterwards. */
  readonly #universe: UniverseSource | undefined;
  readonly #ref: BackupRef;
  readonly #news: NewsWish;
  readonly #startedAt = new Date(Date.now()).toISOString();
  readonly #startedAtMs = Date.now();
  readonly #verifications: VerifyReport[] = [];
  readonly #failures: { readonly step: Step; readonly error: unknown }[] = [];
  #readPoint: ReadPointKeeper | undefined;
  #exported: { readonly readPoint: ReadPoint; readonly summary: ExportSummary } | undefined;
  #sealed: BackupSummary | undefined;
  #released = false;
  #cleanUpFailure: string | undefined;

  constructor({ pipeline, backup = newBackupId(), hasTurn = false, scheduled, notify, window }: BackupInput) {
    const { plan, repository, source, steps, labels } = pipeline;
    this.#pipeline = pipeline;
    this.#scheduled = scheduled;
    this.#window = window;
    this.#universe = tabletSource(source);
    this.#ref = { repository, plan, backup };
    const kind = scheduled === undefined ? 'backup' : 'off-cluster';
    this.#news = { kind, plan, backup, labels, ...defined({ notify }) };
    const isGoverned = patched('turns');
    const lease = {
      source,
      mode: 'together',
      title: `backup ${backup} of ${plan}`,
      waitsFor: 'an overwriting restore of the same source',
    } as const;
    this.frame = new RunFrame({
      title: `Backup ${backup} of ${plan}`,
      steps,
      news: this.#news,
      ...defined({
        // A backup without a lease of its own is made under its parent's.
        lease: isGoverned && !hasTurn ? lease : undefined,
        report: isGoverned ? { plan, kind: 'backup' as const, id: backup } : undefined,
      }),
    });
  }

  get progress(): RunProgress {
    return this.frame.progress;
  }

  get backup(): string {
    return this.#ref.backup;
  }

  async interpret(): Promise<BackupOutcome> {
    const ends = new Map<string, Promise<StepEnd>>();
    if (this.#window !== undefined) await this.#untilOpen(this.#window);
    if (this.#scheduled === undefined) await tellOfStart(this.#news);
    const refusal = await this.#takeLease();
    for (const step of this.#pipeline.steps) {
      const needs = step.needs.map((id) => ends.get(id) ?? unknownStep(id));
      const isRefused = refusal !== undefined && ends.size === 0;
      ends.set(step.id, isRefused ? this.#fail(step, refusal.error) : this.#runWhenReady(step, needs));
    }
    await Promise.all(ends.values());
    const [first] = this.#failures;
    if (first !== undefined) throw first.error;
    if (this.#sealed === undefined) {
      throw ApplicationFailure.nonRetryable(
        'the pipeline ended without a backup: it has no upload step',
        'NO_BACKUP',
      );
    }
    const { unread = [] } = this.#sealed;
    if (unread.length > 0) {
      throw ApplicationFailure.nonRetryable(
        `Backup ${this.backup} is there, and lacks rows that could not be read: ${unread.join('; ')}`,
        'BACKUP_INCOMPLETE',
      );
    }
    return {
      summary: this.#sealed,
      verifications: this.#verifications,
      epochs: this.#readPoint?.epoch ?? 0,
      durationMs: Date.now() - this.#startedAtMs,
    };
  }

  /** A run that begins while the window is closed would otherwise hold its read point until it opens, and read nothing at it. */
  async #untilOpen(window: TransferWindow): Promise<void> {
    await new WindowGate(window, async (until) => this.progress.pause(until)).pass();
  }

  /** The time that work gets which waits for the window: pauses don't count. */
  #withPauses(timeoutMs: number): number {
    return this.#window === undefined ? timeoutMs : openFor(this.#window, Date.now(), timeoutMs);
  }

  /** Called after a failure or a cancellation. Closes the session and removes objects that no manifest names. */
  async abandon(): Promise<void> {
    await this.#readPoint?.close();
    await this.#releaseSnapshots();
    if (this.#sealed !== undefined) return;
    const activities = activitiesFor({
      summary: 'remove what the unfinished backup left in the repository',
      retry: { ...PATIENT_RETRY, maximumAttempts: 5 },
      timeoutMs: CLEAN_UP_TIMEOUT_MS,
    });
    try {
      await activities.cleanUp({ ref: this.#ref });
    } catch (error) {
      // The repository itself may have failed. `holdfast prune` removes these objects later; the run reports its first error.
      this.#cleanUpFailure = describeFailure(error).message;
    }
  }

  leftBehind(): string {
    if (this.#sealed !== undefined) return 'the backup itself is complete.';
    return this.#cleanUpFailure === undefined
      ? 'nothing of it is left in the repository.'
      : `its objects could not be removed (${this.#cleanUpFailure}): holdfast prune ${this.#ref.plan} removes them.`;
  }

  async #runWhenReady(step: Step, needs: readonly Promise<StepEnd>[]): Promise<StepEnd> {
    const ends = await Promise.all(needs);
    const wanted =
      step.when === 'always' ||
      (step.when === 'success' && ends.every((end) => end === 'succeeded')) ||
      (step.when === 'failure' && this.#failures.length > 0);
    if (!wanted) {
      this.progress.end(step.id, 'skipped');
      // A step for failures that was not needed doesn't stop the steps after it.
      return step.when === 'failure' ? 'succeeded' : 'skipped';
    }
    this.progress.start(step.id);
    try {
      const deadline = {
        afterMs: step.verb === 'upload' ? this.#withPauses(step.timeoutMs) : step.timeoutMs,
        summary: `${step.id}: timeout of the step`,
        late: () => stepTimedOut(step),
      };
      await withDeadline(deadline, () => this.#run(step));
      this.progress.end(step.id, 'done');
      return 'succeeded';
    } catch (error) {
      if (isCancellation(error)) {
        this.progress.end(step.id, 'cancelled');
        throw error;
      }
      return this.#fail(step, error);
    }
  }

  async #fail(step: Step, error: unknown): Promise<StepEnd> {
    this.#failures.push({ step, error });
    this.progress.end(step.id, 'failed', describeFailure(error).message);
    return 'failed';
  }

  /**
   * Waits for the lease on the source. A source that can't be named is reported as a failure of the first step, which needs the source too: so it is
   * shown in the list of steps, and the steps for failures run.
   */
  async #takeLease(): Promise<{ readonly error: unknown } | undefined> {
    try {
      await this.frame.takeLease();
      return undefined;
    } catch (error) {
      if (isCancellation(error)) throw error;
      return { error };
    }
  }

  async #run(step: Step): Promise<void> {
    switch (step.verb) {
      case 'flush': {
        const { source } = this.#pipeline;
        await this.#call(step, 'wait for DDL under way').flush({ source, waitMs: step.options.waitMs });
        return;
      }
      case 'snapshot':
        return this.#snapshot(step);
      case 'export':
        return this.#export(step);
      case 'upload':
        return this.#upload(step);
      case 'verify': {
        const report = await this.#verify(step);
        this.#verifications.push(report);
        this.progress.note(step.id, {
          note: `${report.verdict}: ${formatAmount(report.checkedObjects, 'object')} checked (${report.level})`,
        });
        return;
      }
      case 'copy': {
        const to = step.options.to;
        await this.#call(step, `copy to repository ${to.name}`).copy({ ref: this.#ref, to });
        return;
      }
      case 'sql': {
        const { statement, database } = step.options;
        await this.#call(step, 'statement on the source').sql({
          source: this.#pipeline.source,
          statement,
          ...defined({ database }),
        });
        return;
      }
      case 'http':
        await this.#call(step, `${step.options.method} webhook`).http({
          request: step.options,
          body: this.#webhookBody(),
        });
        return;
    }
  }

  async #snapshot(step: StepOf<'snapshot'>): Promise<void> {
    // The activity that holds the read point may run as long as all steps together, since they read at it.
    const timeoutMs = this.#pipeline.steps.reduce((sum, other) => sum + other.timeoutMs, 0);
    const activities = activitiesFor({
      summary: 'pin the read point',
      retry: step.retry,
      timeoutMs: this.#withPauses(timeoutMs),
      taskQueue: readPointQueue(workflowInfo().taskQueue),
    });
    this.#readPoint = new ReadPointKeeper(activities, this.#pipeline.source, this.#ref, this.#scheduled);
    const readPoint = await this.#readPoint.open();
    this.progress.note(step.id, { note: describeReadPoint(readPoint) });
  }

  async #export(step: StepOf<'export'>): Promise<void> {
    await this.#keeper().during(
      (readPoint) => this.#exportAt(step, readPoint),
      (epoch) => this.#lost(step, epoch),
    );
  }

  /** The work list at a read point, made once per epoch. */
  async #exportAt(step: StepOf<'export'>, readPoint: ReadPoint): Promise<ExportSummary> {
    if (this.#exported?.readPoint.epoch === readPoint.epoch) return this.#exported.summary;
    const { source } = this.#pipeline;
    const activities = this.#call(step, `schema and work list, epoch ${readPoint.epoch}`);
    const summary = await activities.export({ ref: this.#ref, source, readPoint });
    this.#exported = { readPoint, summary };
    this.progress.note(step.id, {
      note: `${formatAmount(summary.tables, 'table')} of ${summary.databases.join(', ')} in ${this.#workOf(summary)}`,
    });
    return summary;
  }

  async #upload(step: StepOf<'upload'>): Promise<void> {
    const exportStep = this.#pipeline.steps.find(
      (other): other is StepOf<'export'> => other.verb === 'export',
    );
    if (exportStep === undefined)
      throw ApplicationFailure.nonRetryable('upload without export', 'NO_WORK_LIST');
    this.#sealed = await this.#keeper().during(
      async (readPoint) => {
        const list = await this.#exportAt(exportStep, readPoint);
        await this.#transferAll(step, readPoint, list);
        return this.#call(step, 'sequences, manifest').seal({
          ref: this.#ref,
          source: this.#pipeline.source,
          readPoint,
          pipelineHash: this.#pipeline.hash,
          startedAt: this.#startedAt,
        });
      },
      (epoch) => this.#lost(step, epoch),
    );
    const { rows, bytes, storedBytes } = this.#sealed;
    this.progress.note(step.id, {
      ...(rows === null ? {} : { rows }),
      bytes,
      totalBytes: bytes,
      storedBytes,
    });
    this.#keeper().release();
    await this.#releaseSnapshots();
  }

  /** The universe keeps a snapshot, and with it old files, until the snapshot is deleted. */
  async #releaseSnapshots(): Promise<void> {
    const source = this.#universe;
    if (source === undefined || this.#readPoint === undefined || this.#released) return;
    const activities = activitiesFor({
      summary: 'delete the snapshots in the universe',
      retry: { ...PATIENT_RETRY, maximumAttempts: 10 },
      timeoutMs: CLEAN_UP_TIMEOUT_MS,
    });
    try {
      await activities.releaseSnapshots({ ref: this.#ref, source });
      this.#released = true;
    } catch (error) {
      if (isCancellation(error)) throw error;
      // The backup isn't affected. The universe deletes the snapshots itself when their retention is over.
      this.progress.note('upload', { note: `snapshots were not deleted: ${describeFailure(error).message}` });
    }
  }

  async #transferAll(step: StepOf<'upload'>, readPoint: ReadPoint, list: ExportSummary): Promise<void> {
    if (this.#universe !== undefined) {
      // The size of a tablet is known only after it was saved, so the progress counts tablets and no bytes.
      this.progress.beginTransfer(step.id, { tasks: list.tasks, unit: 'tablets' });
      const { epoch } = readPoint;
      const window = defined({ window: this.#window });
      return saveAllTablets({ ref: this.#ref, source: this.#universe, epoch, list, step, ...window });
    }
    this.progress.beginTransfer(step.id, { tasks: list.tasks, bytes: list.estimatedBytes });
    for (let batch = 0; batch < list.shards; batch++) {
      const tasks = Math.min(TASKS_PER_BATCH, list.tasks - batch * TASKS_PER_BATCH);
      const input: TransferInput = {
        direction: 'upload',
        ref: this.#ref,
        source: this.#pipeline.source,
        readPoint,
        shard: batch,
        tasks,
        ...reportPace(list.tasks),
        zstdLevel: step.options.zstdLevel,
        ...defined({ window: this.#window }),
        options: { parallelism: step.parallelism, retry: step.retry, timeoutMs: step.timeoutMs },
      };
      await moveBatch(input, this.progress, {
        workflowId: `${workflowInfo().workflowId}:upload:e${readPoint.epoch}:${batch}`,
        staticSummary: `upload batch ${batch + 1} of ${list.shards}, ${formatAmount(tasks, 'task')}, epoch ${readPoint.epoch}`,
      });
    }
  }

  #workOf({ tasks, estimatedBytes }: ExportSummary): string {
    if (this.#universe !== undefined) return `${formatCount(tasks)} tablets`;
    return `${formatAmount(tasks, 'task')}, about ${formatBytes(estimatedBytes)}`;
  }

  async #verify(step: StepOf<'verify'>): Promise<VerifyReport> {
    const { level, owner } = step.options;
    const activities = this.#call(step, `verify ${level}`);
    const report =
      level === 'restore'
        ? await verifyByRestore(activities, this.#ref, {
            source: this.#pipeline.source,
            parallelism: step.parallelism,
            ...defined({ owner }),
          })
        : await activities.verify({ ref: this.#ref, level });
    if (report.verdict !== 'OK') {
      throw ApplicationFailure.nonRetryable(
        `verification (${level}) of backup ${this.#ref.backup}: ${report.verdict}. ${report.problems.slice(0, 5).join('; ')}`,
        `VERIFY_${report.verdict}`,
      );
    }
    return report;
  }

  #call(step: Step, summary: string) {
    return activitiesFor({ summary: `${step.id}: ${summary}`, retry: step.retry, timeoutMs: step.timeoutMs });
  }

  #keeper(): ReadPointKeeper {
    if (this.#readPoint === undefined)
      throw ApplicationFailure.nonRetryable('no snapshot step ran', 'NO_READ_POINT');
    return this.#readPoint;
  }

  #lost(step: Step, epoch: number): void {
    this.progress.note(step.id, {
      note: `read point of epoch ${epoch} was lost; everything is read again at a new one`,
    });
  }

  /** The body of a webhook. */
  #webhookBody(): Readonly<Record<string, unknown>> {
    const [first] = this.#failures;
    return {
      plan: this.#ref.plan,
      backup: this.#ref.backup,
      labels: this.#pipeline.labels,
      status: first === undefined ? 'success' : 'failure',
      workflowId: workflowInfo().workflowId,
      ...(first === undefined ? {} : { step: first.step.id, error: describeFailure(first.error) }),
      ...defined({ summary: this.#sealed }),
    };
  }
}

/** An id as the command line makes them: unique, and sorts by time. */
function newBackupId(): string {
  const time = timeInId(workflowInfo().startTime.toISOString());
  return `${time}-${uuid4().slice(0, 6)}`;
}

function unknownStep(id: string): never {
  throw ApplicationFailure.nonRetryable(`step ${id} is needed before it is defined`, 'BAD_PIPELINE');
}

function stepTimedOut(step: Step): ApplicationFailure {
  return ApplicationFailure.nonRetryable(
    `step ${step.id} did not end within ${formatDuration(step.timeoutMs)}; give it a longer \`timeout\` in the plan`,
    'STEP_TIMED_OUT',
  );
}

function describeReadPoint(readPoint: ReadPoint): string {
  switch (readPoint.kind) {
    case 'yb-read-time':
      return `yb_read_time ${readPoint.micros} (${readPoint.takenAt})`;
    case 'pg-snapshot':
      return `exported snapshot, held by a session (${readPoint.takenAt})${
        readPoint.reason === undefined ? '' : `, since ${readPoint.reason}`
      }`;
    case 'universe-snapshot': {
      const names = readPoint.databases.map(
        ({ database, snapshot }) => `${database}: ${snapshot ?? 'empty'}`,
      );
      return `distributed snapshots (${readPoint.takenAt}) of ${names.join(', ')}`;
    }
    case 'scan':
      return `a scan at ${readPoint.consistencyLevel} from ${readPoint.takenAt} on, not one instant`;
  }
}

/** What of it the repository lacked, where rows are shared. */
function newOf({ newBytes }: BackupSummary): string {
  return newBytes === undefined ? '' : `, ${formatBytes(newBytes)} of it new,`;
}

function headlineOf(outcome: BackupOutcome): string {
  const { summary, verifications, durationMs } = outcome;
  const checked = verifications.map((report) => `${report.level}: ${report.verdict}`).join(', ');
  return (
    `Backup ${summary.backup} is complete: ${describeRows(summary)} in ${formatAmount(summary.tables, 'table')}, ` +
    `${formatBytes(summary.bytes)} stored as ${formatBytes(summary.storedBytes)}${newOf(summary)} in ${formatDuration(durationMs)}` +
    `${checked === '' ? '' : `; verified ${checked}`}`
  );
}
