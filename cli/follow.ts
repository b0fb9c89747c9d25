import { createInterface } from 'node:readline/promises';
import {
  isGrpcServiceError,
  QueryNotRegisteredError,
  QueryRejectedError,
  WorkflowFailedError,
  type WorkflowHandle,
} from '@temporalio/client';
import { ApplicationFailure, CancelledFailure, TemporalFailure } from '@temporalio/common';
import { createLogUpdate } from 'log-update';
import { HoldfastError, messageOf } from '../model/errors.ts';
import { progress as progressQuery } from '../workflows/messages.ts';
import type { Progress } from '../workflows/progress.ts';
import { say } from './output.ts';
import { changedLines, renderScreen } from './progressView.ts';

const POLL_EVERY_MS = 500;

export type Followed<T> = { readonly ended: true; readonly result: T } | { readonly ended: false };

/**
 * Follows a run until it ends: bars on a terminal, plain lines in a pipe. Ctrl-C asks once whether to detach or to cancel;
 * without a terminal it detaches. Throws the run's own failure as one `HoldfastError`.
 */
export async function follow<T>(
  handle: WorkflowHandle,
  options: { readonly quiet: boolean; readonly onProgress?: (progress: Progress) => Promise<void> },
): Promise<Followed<T>> {
  const view = options.quiet ? silentView() : process.stderr.isTTY ? screenView() : lineView();
  const interrupt = interrupts();
  const ended = handle.result().then(
    (result) => ({ ended: true, result: result as T }) as const,
    (error: unknown) => Promise.reject(asHoldfastError(error)),
  );
  ended.catch(() => undefined); // Awaited below; a poll in between must not make it an unhandled rejection.
  try {
    for (;;) {
      const next = await Promise.race([ended, interrupt.next(), pause(POLL_EVERY_MS)]);
      if (typeof next === 'object') {
        view.update(await queryProgress(handle));
        return next;
      }
      if (next === 'interrupted') {
        view.suspend();
        const choice = await askHowToStop();
        if (choice === 'detach') return { ended: false };
        if (choice === 'cancel') {
          say('Cancelling; what the run left behind is being removed …');
          await handle.cancel();
        }
        continue;
      }
      const progress = await queryProgress(handle);
      view.update(progress);
      if (progress !== undefined) await options.onProgress?.(progress);
    }
  } finally {
    view.done();
    interrupt.stop();
  }
}

/** Undefined while no worker answers: the run goes on, there is just nothing to show. */
async function queryProgress(handle: WorkflowHandle): Promise<Progress | undefined> {
  try {
    return await Promise.race([handle.query(progressQuery), pause(5_000).then(() => undefined)]);
  } catch (error) {
    const noAnswer =
      error instanceof QueryRejectedError ||
      error instanceof QueryNotRegisteredError ||
      isGrpcServiceError(error);
    if (noAnswer) return undefined;
    throw error;
  }
}

interface View {
  update(progress: Progress | undefined): void;
  suspend(): void;
  done(): void;
}

function silentView(): View {
  return { update: () => undefined, suspend: () => undefined, done: () => undefined };
}

function screenView(): View {
  const draw = createLogUpdate(process.stderr);
  return {
    update: (progress) => {
      if (progress !== undefined) draw(renderScreen(progress, Date.now(), process.stderr.columns));
    },
    suspend: () => draw.done(),
    done: () => draw.done(),
  };
}

function lineView(): View {
  let previous: Progress | undefined;
  return {
    update: (progress) => {
      if (progress === undefined) return;
      for (const line of changedLines(previous, progress, Date.now())) say(line);
      previous = progress;
    },
    suspend: () => undefined,
    done: () => undefined,
  };
}

function interrupts() {
  let wake: (() => void) | undefined;
  let pending = false;
  const onSignal = () => {
    pending = true;
    wake?.();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    next: () =>
      new Promise<'interrupted'>((resolve) => {
        wake = () => {
          pending = false;
          resolve('interrupted');
        };
        if (pending) wake();
      }),
    stop: () => {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}

async function askHowToStop(): Promise<'detach' | 'cancel' | 'continue'> {
  if (!process.stdin.isTTY) return 'detach';
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const again = new Promise<string>((resolve) => prompt.once('SIGINT', () => resolve('d')));
    const question = '\n(d)etach and let it run, (c)ancel it, or Enter to keep watching? [d/c/Enter] ';
    const answer = (await Promise.race([prompt.question(question), again])).trim().toLowerCase();
    if (answer.startsWith('d')) return 'detach';
    return answer.startsWith('c') ? 'cancel' : 'continue';
  } finally {
    prompt.close();
  }
}

function asHoldfastError(error: unknown): unknown {
  if (!(error instanceof WorkflowFailedError)) return error;
  const { cause } = error;
  if (cause instanceof CancelledFailure) {
    return new HoldfastError('CANCELLED', 'the run was cancelled', {
      remedy: 'Start it again when you want it.',
      transient: false,
    });
  }
  if (cause instanceof ApplicationFailure) {
    return new HoldfastError(cause.type ?? 'FAILED', cause.message, {
      remedy: 'The run’s page in the Temporal UI shows every attempt (holdfast dev starts it).',
      transient: false,
    });
  }
  return new HoldfastError('FAILED', cause instanceof TemporalFailure ? cause.message : messageOf(error), {
    remedy: 'Look at the run’s page in the Temporal UI.',
    transient: false,
  });
}

function pause(milliseconds: number): Promise<'polled'> {
  return new Promise((resolve) => setTimeout(() => resolve('polled'), milliseconds));
}
