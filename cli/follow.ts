import { createInterface } from 'node:readline/promises';
import { createLogUpdate } from 'log-update';
import type { RunHandle } from '../library/run-handle.ts';
import { defined } from '../model/defined.ts';
import type { Progress } from '../workflows/progress.ts';
import { catchInterrupts, type Interrupts } from './interrupts.ts';
import { say } from './output.ts';
import { changedLines, renderScreen } from './progress-view.ts';

type Followed<T> = { readonly ended: true; readonly result: T } | { readonly ended: false };

interface FollowOptions {
  /** True: no progress is drawn. */
  readonly quiet: boolean;
  /** How often to ask the run for its progress. Default: once a second. */
  readonly pollEveryMs?: number;
  /** Called with each progress that the run reports. `tell` writes a line that stays, which the next picture would wipe out otherwise. */
  readonly onProgress?: (progress: Progress, tell: (line: string) => void) => Promise<void>;
  /** True: Ctrl-C asks nothing, and this returns. */
  readonly endsAtInterrupt?: boolean;
  /** Interrupts that the caller has caught since it announced the run. Absent: this catches them from now on. */
  readonly interrupts?: Interrupts;
  /** Called at intervals, to restart the embedded server and worker if they have died. */
  readonly keepAlive?: () => Promise<void>;
}

/**
 * Follows a run until it ends: shows bars on a terminal, plain lines in a pipe. Ctrl-C asks whether to detach or to cancel;
 * without a terminal it detaches. Throws the run's own failure as one `HoldfastError`.
 */
export async function follow<T>(run: RunHandle<T>, options: FollowOptions): Promise<Followed<T>> {
  const view = options.quiet ? silentView() : process.stderr.isTTY ? screenView() : lineView();
  const tell = (line: string) => {
    view.suspend();
    say(line);
  };
  const interrupts = options.interrupts ?? catchInterrupts();
  const views = run.follow(defined({ everyMs: options.pollEveryMs }))[Symbol.asyncIterator]();
  let next = views.next();
  // The same promise is kept until an interrupt was handled, so that one during a call to the server isn't lost.
  let interrupted = interrupts.next();
  try {
    for (;;) {
      const seen = await Promise.race([next, interrupted]);
      if (seen === 'interrupted') {
        interrupted = interrupts.next();
        view.suspend();
        const choice = options.endsAtInterrupt === true ? 'detach' : await askHowToStop();
        if (choice === 'detach') return { ended: false };
        if (choice === 'cancel') {
          say('Cancelling; what the run left behind is being removed …');
          await run.cancel();
        }
        continue;
      }
      if (seen.done === true) return { ended: true, result: await run.result() };
      const { progress, troubles, ended } = seen.value;
      view.update(progress, troubles);
      if (!ended) {
        if (progress !== undefined) await options.onProgress?.(progress, tell);
        await options.keepAlive?.();
      }
      next = views.next();
    }
  } finally {
    view.done();
    interrupts.stop();
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
