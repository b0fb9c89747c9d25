import type { RunHandle } from '../library/run-handle.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import { catchInterrupts } from './interrupts.ts';
import type { ExitCode } from './output.ts';
import { type CommonOptions, EXIT, emit, say } from './output.ts';
import type { Session } from './session.ts';

/** Options of commands that start a run and follow it. */
export interface FollowRunOptions extends CommonOptions {
  readonly detach?: boolean;
}

/** The plan that a run belongs to. */
interface RunOwner {
  readonly plan: CompiledPlan;
  /** Variables that the command names, besides those of the plan. */
  readonly variables?: readonly string[];
}

/** A run that a command has started or found. */
interface FoundRun<Result> {
  readonly run: RunHandle<Result>;
  /** One line that says what is running. */
  readonly title: string;
  /** The fields that identify it in JSON documents: plan, backup, restore. */
  readonly names: Readonly<Record<string, string>>;
  /** Printed after detaching: how to follow the run again. */
  readonly whenDetached: string;
}

/**
 * What `backup`, `restore` and `verify` have in common: opens a session, starts or finds the run, follows it to its end and
 * reports its result. Or detaches, which leaves an embedded server and worker running.
 */
export async function followRun<Result>(
  options: FollowRunOptions,
  owner: RunOwner,
  begin: (session: Session) => Promise<FoundRun<Result>>,
  report: (result: Result) => ExitCode | Promise<ExitCode>,
): Promise<ExitCode> {
  const { openSession, runUrl } = await import('./session.ts');
  const { follow } = await import('./follow.ts');
  const session = await openSession(owner);
  let keep = false;
  try {
    const { run, title, names, whenDetached } = await begin(session);
    const { workflowId } = run;
    const url = runUrl(session, workflowId);
    // Caught before the run is announced, since a reader of the announcement may interrupt at once.
    const interrupts = options.detach ? undefined : catchInterrupts();
    say(url === undefined ? title : `${title}: ${url}`);
    if (interrupts !== undefined) {
      const { keepAlive } = session;
      const followed = await follow(run, { quiet: options.json === true, keepAlive, interrupts });
      if (followed.ended) return await report(followed.result);
      say(whenDetached);
    }
    keep = true;
    if (options.json) emit({ ...names, workflowId, detached: true });
    return options.detach ? EXIT.done : EXIT.inconclusive;
  } finally {
    await session.end({ keep });
  }
}
