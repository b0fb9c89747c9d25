import { ApplicationFailure, CancellationScope, isCancellation } from '@temporalio/workflow';
import type { Verdict } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import { describeFailure, type FailureReason } from './failures.ts';
import type { RunReport } from './plan-messages.ts';
import type { StepProgress } from './progress.ts';
import { Reporter } from './reporter.ts';
import { RunProgress } from './run-progress.ts';
import { type LeaseWish, SourceLease } from './source-lease.ts';

/** What is the same for every run: who sees it, what it waits for, and how it ends. */
export interface RunWish {
  readonly title: string;
  readonly steps: readonly Pick<StepProgress, 'id' | 'verb'>[];
  /** Absent for a run that needs no lease on the source, and for one that has its parent's. */
  readonly lease?: Omit<LeaseWish, 'onWait'> & {
    /** Completes `waits for …`, where the run has to wait. */
    readonly waitsFor: string;
  };
  /** Absent where there is no plan's entity to report to. */
  readonly report?: Pick<RunReport, 'kind' | 'id' | 'overwrites'> & { readonly plan: string };
}

/** What is shown and reported of a run that came to its end. */
interface RunEnd {
  readonly headline: string;
  /** Absent where nothing was judged. Only `OK` is shown as done; to its plan a run is failed by `FAILED` alone. */
  readonly verdict?: Verdict;
  readonly figures?: RunReport['result'];
}

/** What is shown, reported and thrown of a run that failed or was cancelled. */
interface RunFailure {
  readonly headline: string;
  /** Absent: the reason's own. */
  readonly message?: string;
  readonly details?: readonly unknown[];
  /** True: a cancelled run fails, since a cancellation can't carry `details` to its parent. */
  readonly mustFail?: boolean;
}

/** One run from its first step to what is said of its end. */
interface RunCourse<T> {
  readonly work: () => Promise<T>;
  readonly end: (result: T) => RunEnd;
  /** After a failure or a cancellation, before it is shown: removes what the run made. Cancellation doesn't reach it. */
  readonly undo?: () => Promise<void>;
  /** Absent: the reason is all there is to say. */
  readonly failure?: (reason: FailureReason, isCancelled: boolean) => RunFailure;
  /** After the end was shown and reported. */
  readonly succeeded?: (result: T) => Promise<void>;
  /** After a failure, but not a cancellation, was shown and reported. */
  readonly failed?: (reason: FailureReason) => Promise<void>;
}

/**
 * The frame that every run is in: its progress, its reports to its plan, its lease on the source, its stages, and one end for each way to
 * end. A workflow says what it does and how it words the outcome. The order of what is shown, reported and thrown is decided here.
 */
export class RunFrame {
  readonly progress: RunProgress;
  readonly #report: Reporter | undefined;
  readonly #lease: SourceLease | undefined;

  constructor({ title, steps, lease, report }: RunWish) {
    this.progress = new RunProgress(title, steps);
    if (lease !== undefined) this.#lease = this.#leaseOf(lease, steps);
    if (report === undefined) return;
    const { plan, ...run } = report;
    const reporter = new Reporter(plan, run);
    this.#report = reporter;
    this.progress.onMilestone = (headline) => reporter.running(headline);
  }

  /** Returns when the run may begin at the source. Throws when the source can't be named (a secret is missing, a bad URL). */
  async takeLease(): Promise<void> {
    await this.#lease?.take();
  }

  /**
   * Runs one step and shows how it ended.
   *
   * @param note what is shown beside a step that came to its end
   * @param state how such a step is shown, where its result may be bad
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
   * Runs the whole course. The end is shown in the progress and reported to the plan before this returns or throws. The lease
   * on the source is given back whatever happens.
   *
   * @throws ApplicationFailure with the innermost reason's code, or the cancellation itself
   */
  async run<T>(course: RunCourse<T>): Promise<T> {
    try {
      const result = await course.work();
      const { headline, verdict, figures } = course.end(result);
      this.progress.conclude(verdict === undefined || verdict === 'OK' ? 'done' : 'failed', headline);
      const state = verdict === 'FAILED' ? 'failed' : 'done';
      await this.#report?.ended({ state, headline, ...defined({ result: figures }) });
      await course.succeeded?.(result);
      return result;
    } catch (error) {
      throw await this.#conclude(course, error);
    } finally {
      await this.#lease?.end();
    }
  }

  /** @returns what the workflow throws */
  async #conclude<T>({ undo, failure, failed }: RunCourse<T>, error: unknown): Promise<unknown> {
    const reason = describeFailure(error);
    if (undo !== undefined) await CancellationScope.nonCancellable(undo);
    const { headline, message, details, mustFail } = failure?.(reason, isCancellation(error)) ?? {
      headline: reason.message,
    };
    const isCancelled = isCancellation(error) && mustFail !== true;
    const state = isCancelled ? 'cancelled' : 'failed';
    this.progress.conclude(state, headline);
    await this.#report?.ended({ state, headline });
    if (isCancelled) return error;
    await failed?.(reason);
    return ApplicationFailure.create({
      type: reason.code,
      message: message ?? reason.message,
      nonRetryable: true,
      ...defined({ details: details === undefined ? undefined : [...details] }),
      ...(error instanceof Error ? { cause: error } : {}),
    });
  }

  /** A wait is shown beside the step `turn`, or above all steps where there is none. The step keeps this older name: histories hold it. */
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

/** Stages as the steps of a run: each is named by what it does. */
export function stepsOf<S extends StepProgress['verb']>(stages: readonly S[]): RunWish['steps'] {
  return stages.map((stage) => ({ id: stage, verb: stage }));
}
