import { createInterface } from 'node:readline/promises';
import {
  QueryNotRegisteredError,
  QueryRejectedError,
  ServiceError,
  WorkflowFailedError,
  type WorkflowHandle,
} from '@temporalio/client';
import { ApplicationFailure, CancelledFailure, TemporalFailure } from '@temporalio/common';
import { createLogUpdate } from 'log-update';
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
import { catchInterrupts, type Interrupts } from './interrupts.ts';
import { say } from './output.ts';
import { changedLines, renderScreen } from './progress-view.ts';
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

type Followed<T> = { readonly ended: true; readonly result: T } | { readonly ended: false };

interface FollowOptions {
  /** True: no progress is drawn. */
  readonly quiet: boolean;
  /** How often to ask the run for its progress. Default: once a second. */
  readonly pollEveryMs?: number;
  /** Called with each progress that the run reports. */
  readonly onProgress?: (progress: Progress) => Promise<void>;
  /** Interrupts that the caller has caught since it announced the run. Absent: this catches them from now on. */
  readonly interrupts?: Interrupts;
  /** Called at intervals, to restart the embedded server and worker if they have died. */
  readonly keepAlive?: () => Promise<void>;
}

/**
 * Follows a run until it ends: shows bars on a terminal, plain lines in a pipe. Ctrl-C asks whether to detach or to cancel;
 * without a terminal it detaches. Throws the run's own failure as one `HoldfastError`.
 */
export async function follow<T>(handle: WorkflowHandle, options: FollowOptions): Promise<Followed<T>> {
  const view = options.quiet ? silentView() : process.stderr.isTTY ? screenView() : lineView();
  const interrupts = options.interrupts ?? catchInterrupts();
  const { pollEveryMs = POLL_EVERY_MS } = options;
  const end = endOf<T>(handle);
  let troubles: readonly string[] = [];
  // The same promise is kept until an interrupt was handled, so that one during a call to the server isn't lost.
  let interrupted = interrupts.next();
  try {
    for (let polls = 1; ; polls++) {
      const next = await Promise.race([end, interrupted, pause(pollEveryMs)]);
      if (next === 'interrupted') {
        interrupted = interrupts.next();
        view.suspend();
        const choice = await askHowToStop();
        if (choice === 'detach') return { ended: false };
        if (choice === 'cancel') {
          say('Cancelling; what the run left behind is being removed …');
          await unlessEnded(handle.cancel());
        }
        continue;
      }
      const progress = await queryProgress(handle);
      if (next !== 'polled') {
        view.update(progress, []);
        if ('error' in next) throw next.error;
        return { ended: true, result: next.result };
      }
      if (polls % POLLS_PER_LOOK_AT_TROUBLES === 0) troubles = (await soon(troublesOf(handle))) ?? troubles;
      view.update(progress, troubles);
      if (progress !== undefined) await options.onProgress?.(progress);
      await options.keepAlive?.();
    }
  } finally {
    view.done();
    interrupts.stop();
  }
}

/** Waits for the end of a run. If the server is down for a while, this waits on: the run will go on where it was. */
async function endOf<T>(
  handle: WorkflowHandle,
): Promise<{ readonly result: T } | { readonly error: unknown }> {
  for (let outages = 1; ; outages++) {
    try {
      return { result: (await handle.result()) as T };
    } catch (error) {
      if (error instanceof WorkflowFailedError) return { error: failureOf(error) };
      if (!(error instanceof ServiceError) || outages > OUTAGES_ENDURED) return { error };
      if (outages === 1) say(`Temporal does not answer (${messageOf(error)}); trying on …`);
      await pause(POLL_EVERY_MS);
    }
  }
}

/** The answer, or undefined if it takes long, since Ctrl-C has no effect until this returns. */
function soon<T>(answer: Promise<T>): Promise<T | undefined> {
  return Promise.race([answer, pause(ANSWER_WITHIN_MS).then(() => undefined)]);
}

/** The progress of a run. Undefined while no worker answers; the run isn't affected. */
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

interface View {
  /** @param troubles failures after which the run is now waiting to try again */
  update(progress: Progress | undefined, troubles: readonly string[]): void;
  suspend(): void;
  done(): void;
}

function silentView(): View {
  return { update: () => undefined, suspend: () => undefined, done: () => undefined };
}

function screenView(): View {
  const draw = createLogUpdate(process.stderr);
  return {
    update: (progress, troubles) => {
      if (progress === undefined && troubles.length === 0) return;
      const screen =
        progress === undefined ? [] : [renderScreen(progress, Date.now(), process.stderr.columns)];
      draw([...screen, ...troubles].join('\n'));
    },
    suspend: () => draw.done(),
    done: () => draw.done(),
  };
}

function lineView(): View {
  let previous: Progress | undefined;
  let reported: readonly string[] = [];
  return {
    update: (progress, troubles) => {
      for (const trouble of troubles) if (!reported.includes(trouble)) say(trouble);
      reported = troubles;
      if (progress === undefined) return;
      for (const line of changedLines(previous, progress, Date.now())) say(line);
      previous = progress;
    },
    suspend: () => undefined,
    done: () => undefined,
  };
}

async function askHowToStop(): Promise<'detach' | 'cancel' | 'continue'> {
  if (!process.stdin.isTTY) return 'detach';
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    // A second Ctrl-C or the end of the input counts as detaching, which does no harm.
    const left = new Promise<string>((resolve) => {
      prompt.once('SIGINT', () => resolve('d'));
      prompt.once('close', () => resolve('d'));
    });
    const question = '\n(d)etach and let it run, (c)ancel it, or Enter to keep watching? [d/c/Enter] ';
    const answer = (await Promise.race([prompt.question(question), left])).trim().toLowerCase();
    if (answer.startsWith('d')) return 'detach';
    return answer.startsWith('c') ? 'cancel' : 'continue';
  } finally {
    prompt.close();
  }
}

/** The error that a command reports for a failed run. */
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
  'The run’s page in the Temporal UI shows every attempt (holdfast dev opens the embedded one).';

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
