import { ApplicationFailure, CancellationScope, isCancellation } from '@temporalio/workflow';
import type { Verdict } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import type { Notification } from '../model/notification.ts';
import { describeFailure, type FailureReason } from './failures.ts';
import type { RunReport } from './plan-messages.ts';
import type { StepProgress } from './progress.ts';
import { Reporter } from './reporter.ts';
import { type NewsWish, tellOfEnd, tellOfFailure } from './run-news.ts';
import { RunProgress } from './run-progress.ts';
import { type LeaseWish, SourceLease } from './source-lease.ts';

/** What a run asks of its frame: how it is shown, what it waits for, to whom it reports. */
export interface RunWish {
  readonly title: string;
  readonly steps: readonly Pick<StepProgress, 'id' | 'verb'>[];
  /** Absent for a run that needs no lease on the source, and for one whose parent holds it. */
  readonly lease?: Omit<LeaseWish, 'onWait'> & {
    /** What the run may have to wait for: completes `waits for …`. */
    readonly waitsFor: string;
  };
  /** Absent where the plan has no entity to report to. */
  readonly report?: Pick<RunReport, 'kind' | 'id' | 'overwrites'> & { readonly plan: string };
  /** Absent for a run that is a part of another one, whose end is told. */
  readonly news?: NewsWish;
}

/** How a run that succeeded is shown and reported. */
export interface RunEnd {
  readonly headline: string;
  /** Absent where nothing was judged. A run is shown as done only if this is `OK`; it is reported as failed only if this is `FAILED`. */
  readonly verdict?: Verdict;
  readonly figures?: RunReport['result'];
  /** What a notification tells beside the headline. */
  readonly facts?: Notification['facts'];
  /** What a notification tells of a verdict that is not `OK`. */
  readonly error?: FailureReason;
  /** The backup that the run has chosen. */
  readonly backup?: string;
}

/** How a run that failed or was cancelled is shown and reported, and what it throws. */
interface RunFailure {
  readonly headline: string;
  /** Absent: the message of the error that ended the run. */
  readonly message?: string;
  readonly details?: readonly unknown[];
  /** True: a cancelled run ends as failed, since a cancellation can't carry `details` to its parent. */
  readonly mustFail?: boolean;
}

/** What a run does, from its first step to its end. */
interface RunCourse<T> {
  readonly work: () => Promise<T>;
  readonly end: (result: T) => RunEnd;
  /** Removes what the run made. Called after a failure or a cancellation, before that is shown; a cancellation doesn't interrupt it. */
  readonly undo?: () => Promise<void>;
  /** Words the failure. Absent: it is worded by its reason alone. */
  readonly failure?: (reason: FailureReason, isCancelled: boolean) => RunFailure;
  /** Called after the end was shown, reported and told. */
  readonly succeeded?: (result: T) => Promise<void>;
}

/**
 * The frame of every run: its progress, its reports to its plan, its lease on the source, its stages, and its ends. A workflow says what
 * it does and how it words the outcome. The frame decides in which order the end is shown, reported to the plan, told to the receivers of
 * `notify`, and thrown.
 */
export class RunFrame {
  readonly progress: RunProgress;
  readonly #report: Reporter | undefined;
  readonly #lease: SourceLease | undefined;
  readonly #news: NewsWish | undefined;

  constructor({ title, steps, lease, report, news }: RunWish) {
    this.#news = news;
    this.progress = new RunProgress(title, steps);
    if (lease !== undefined) this.#lease = this.#leaseOf(lease, steps);
    if (report === undefined) return;
    const { plan, ...run } = report;
    const reporter = new Reporter(plan, run);
    this.#report = reporter;
    this.progress.onMilestone = (headline) => reporter.running(headline);
  }

  /** Returns when the run may begin to work on the source. Throws where the source can't be named (a secret is missing, a bad URL). */
  async takeLease(): Promise<void> {
    await this.#lease?.take();
  }

  /**
   * Runs one step and shows how it ended.
   *
   * @param note text shown beside a step that succeeded
   * @param state how such a step is shown: `failed` where its result is bad
   */
  async stage<T>(
    id: string,
    work: () => Promise<T>,
    note?: (result: T) => string,
    state: (result: T) => 'done' | 'failed' = () => 'done',
  ): Promise<T> {
    this.progress.start(id);
    try {
      const result = await work();
      this.progress.end(id, state(result), note?.(result));
      return result;
    } catch (error) {
      this.progress.end(id, isCancellation(error) ? 'cancelled' : 'failed', describeFailure(error).message);
      throw error;
    }
  }

  /**
   * Runs the whole course. Shows the end in the progress, reports it to the plan and tells it before it returns or throws. Gives back the lease on
   * the source in any case.
   *
   * @throws ApplicationFailure with the innermost reason's code, or the cancellation itself
   */
  async run<T>(course: RunCourse<T>): Promise<T> {
    try {
      const result = await course.work();
      const { figures, ...end } = course.end(result);
      const { headline, verdict } = end;
      this.progress.conclude(verdict === undefined || verdict === 'OK' ? 'done' : 'failed', headline);
      const state = verdict === 'FAILED' ? 'failed' : 'done';
      await this.#report?.ended({ state, headline, ...defined({ result: figures }) });
      if (this.#news !== undefined) await tellOfEnd(this.#news, end);
      await course.succeeded?.(result);
      return result;
    } catch (error) {
      throw await this.#conclude(course, error);
    } finally {
      await this.#lease?.end();
    }
  }

  /** @returns what the workflow throws */
  async #conclude<T>({ undo, failure }: RunCourse<T>, error: unknown): Promise<unknown> {
    const reason = describeFailure(error);
    if (undo !== undefined) await CancellationScope.nonCancellable(undo);
    const { headline, message, details, mustFail } = failure?.(reason, isCancellation(error)) ?? {
      headline: reason.message,
    };
    const isCancelled = isCancellation(error) && mustFail !== true;
    const state = isCancelled ? 'cancelled' : 'failed';
    this.progress.conclude(state, headline);
    await this.#report?.ended({ state, headline });
    if (this.#news !== undefined) await tellOfFailure(this.#news, headline, reason, isCancelled);
    if (isCancelled) return error;
    return ApplicationFailure.create({
      type: reason.code,
      message: message ?? reason.message,
      nonRetryable: true,
      ...defined({ details: details === undefined ? undefined : [...details] }),
      ...(error instanceof Error ? { cause: error } : {}),
    });
  }

  /**
   * The lease of a run. A wait for it is shown beside the step `turn` (histories hold that older name), or above all steps where there is
   * no such step.
   */
  #leaseOf({ waitsFor, ...wish }: NonNullable<RunWish['lease']>, steps: RunWish['steps']): SourceLease {
    const hasStep = steps.some(({ id }) => id === 'turn');
    const onWait = (gate: string): void => {
      const note = `waits for ${waitsFor} (${gate})`;
      if (hasStep) this.progress.note('turn', { note });
      else this.progress.wait(note);
    };
    return new SourceLease({ ...wish, onWait });
  }
}

/** Makes a step of each stage. Its id is the stage's name. */
export function stepsOf<S extends StepProgress['verb']>(stages: readonly S[]): RunWish['steps'] {
  return stages.map((stage) => ({ id: stage, verb: stage }));
}
