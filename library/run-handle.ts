import {
  QueryNotRegisteredError,
  QueryRejectedError,
  ServiceError,
  WorkflowFailedError,
  type WorkflowHandle,
} from '@temporalio/client';
import { ApplicationFailure, CancelledFailure, TemporalFailure } from '@temporalio/common';
import { defined } from '../model/defined.ts';
import {
  type FailureDetails,
  type HoldfastError,
  isFailureDetails,
  messageOf,
  permanent,
} from '../model/errors.ts';
import { progress as progressQuery } from '../workflows/messages.ts';
import type { Progress } from '../workflows/progress.ts';
import { unlessEnded } from './ending-runs.ts';
import { asHoldfastError, typed } from './errors.ts';
import type { RunPlace } from './runs.ts';
import { troublesOf } from './troubles.ts';

/** How often the progress is asked for. The end of the run is awaited separately, so this doesn't delay it. */
const POLL_EVERY_MS = 1_000;
const ANSWER_WITHIN_MS = 2_000;
const POLLS_PER_LOOK_AT_TROUBLES = 5;

/**
 * How many failed waits for the end are endured. Temporal's client tries each for about 17 seconds, so a server may be down for
 * some ten minutes.
 */
const OUTAGES_ENDURED = 35;

/** A look at a run. */
export interface RunView {
  /** Absent while no worker answers; the run isn't affected. */
  readonly progress?: Progress;
  /** The failures after which the run now waits to try again, a sentence each. */
  readonly troubles: readonly string[];
  /** True: the run has ended, and this is the last look. */
  readonly ended: boolean;
}

/** A run that was started or found. */
export interface RunHandle<Result> {
  readonly workflowId: string;
  /**
   * Looks at the run until it has ended, however it ends. To stop looking does nothing to the run.
   *
   * @param options `everyMs`: how often, in milliseconds. Default: once a second
   */
  follow(options?: { readonly everyMs?: number }): AsyncIterable<RunView>;
  /**
   * Waits for the run's end, also while Temporal is down for some minutes.
   *
   * @throws HoldfastError the run's own failure; `CANCELLED` where it was cancelled
   */
  result(): Promise<Result>;
  /** Asks the run to end and to remove what it left behind. Returns at once. */
  cancel(): Promise<void>;
}

type End = { readonly result: unknown } | { readonly error: unknown };

/**
 * The run with this workflow id. Asks nothing of Temporal yet.
 *
 * @param read makes the result of what the workflow gives. Default: that itself
 */
export function runOf<Result, Given = Result>(
  { client, tell }: Pick<RunPlace, 'client' | 'tell'>,
  workflowId: string,
  read?: (given: Given) => Result,
): RunHandle<Result> {
  return runHandle(client.workflow.getHandle(workflowId), tell, read);
}

/** @param tell told when Temporal stops answering for a while */
export function runHandle<Result, Given = Result>(
  handle: WorkflowHandle,
  tell: (sentence: string) => void = () => undefined,
  read?: (given: Given) => Result,
): RunHandle<Result> {
  let awaited: Promise<End> | undefined;
  const end = (): Promise<End> => {
    awaited ??= endOf(handle, tell);
    return awaited;
  };
  return {
    workflowId: handle.workflowId,
    follow: ({ everyMs = POLL_EVERY_MS } = {}) => views(handle, end(), everyMs),
    result: async () => {
      const ended = await end();
      if ('error' in ended) throw asHoldfastError(ended.error);
      // A workflow's result has no type of its own: whoever made the handle knows which workflow it is.
      return read === undefined ? (ended.result as Result) : read(ended.result as Given);
    },
    cancel: () => typed(() => unlessEnded(handle.cancel())),
  };
}

async function* views(
  handle: WorkflowHandle,
  end: Promise<unknown>,
  everyMs: number,
): AsyncGenerator<RunView, void, undefined> {
  let troubles: readonly string[] = [];
  for (let polls = 1; ; polls++) {
    const ended = (await Promise.race([end, pause(everyMs)])) !== 'polled';
    const progress = await queryProgress(handle);
    if (ended) troubles = [];
    else if (polls % POLLS_PER_LOOK_AT_TROUBLES === 0)
      troubles = (await soon(troublesOf(handle))) ?? troubles;
    yield { ...defined({ progress }), troubles, ended };
    if (ended) return;
  }
}

/** Waits for the end of a run. If the server is down for a while, this waits on: the run will go on where it was. */
async function endOf(handle: WorkflowHandle, tell: (sentence: string) => void): Promise<End> {
  for (let outages = 1; ; outages++) {
    try {
      return { result: await handle.result() };
    } catch (error) {
      if (error instanceof WorkflowFailedError) return { error: failureOf(error) };
      if (!(error instanceof ServiceError) || outages > OUTAGES_ENDURED) return { error };
      if (outages === 1) tell(`Temporal does not answer (${messageOf(error)}); trying on …`);
      await pause(POLL_EVERY_MS);
    }
  }
}

/** The answer, or undefined if it takes long, so that whoever follows the run hears of its end. */
function soon<T>(answer: Promise<T>): Promise<T | undefined> {
  return Promise.race([answer, pause(ANSWER_WITHIN_MS).then(() => undefined)]);
}

async function queryProgress(handle: WorkflowHandle): Promise<Progress | undefined> {
  try {
    return await soon(handle.query(progressQuery));
  } catch (error) {
    const noAnswer =
      error instanceof QueryRejectedError ||
      error instanceof QueryNotRegisteredError ||
      error instanceof ServiceError;
    if (noAnswer) return undefined;
    throw error;
  }
}

/** The error of a failed run. */
function failureOf({ cause }: WorkflowFailedError): HoldfastError {
  if (cause instanceof CancelledFailure) {
    return permanent('CANCELLED', 'the run was cancelled', 'Start it again when you want it.');
  }
  if (!(cause instanceof ApplicationFailure)) {
    return permanent(
      'FAILED',
      cause instanceof TemporalFailure ? cause.message : 'the run was terminated or timed out',
      SEE_THE_RUN,
    );
  }
  const { problem, remedy } = detailsOf(cause);
  return permanent(cause.type ?? 'FAILED', problem, remedy);
}

const SEE_THE_RUN =
  'holdfast logs PLAN shows every attempt with its error; so does the run’s page in the Temporal UI (holdfast dev opens the embedded one).';

/** Problem and remedy as separate texts, if the failed activity gave them and its failure was passed on unchanged. */
function detailsOf(failure: ApplicationFailure): FailureDetails {
  for (let cause: unknown = failure; cause instanceof TemporalFailure; cause = cause.cause) {
    if (!(cause instanceof ApplicationFailure) || cause.message !== failure.message) continue;
    const [details] = cause.details ?? [];
    if (isFailureDetails(details)) return details;
  }
  return { problem: failure.message, remedy: SEE_THE_RUN };
}

function pause(milliseconds: number): Promise<'polled'> {
  return new Promise((resolve) => setTimeout(() => resolve('polled'), milliseconds));
}
