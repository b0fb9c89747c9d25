import type { Command } from 'commander';
import { type CommonOptions, EXIT, type ExitCode, emit, runCommand, say } from '../output.ts';

export function register(program: Command): void {
  program
    .command('watch')
    .argument('<plan|run>', 'workflow id of a run, or a plan, whose newest run under way is meant')
    .description('follow a run that is under way to its end, as the command that began it does')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast watch orders        # Ctrl-C detaches; the run goes on')
    .action((argument: string, options: CommonOptions) => runCommand(options, () => run(argument, options)));
}

async function run(argument: string, { json = false }: CommonOptions): Promise<ExitCode> {
  const { openSession, runUrl } = await import('../session.ts');
  const { catchInterrupts } = await import('../interrupts.ts');
  const { findRun } = await import('../../library/find-run.ts');
  const { runOf } = await import('../../library/run-handle.ts');
  const { follow } = await import('../follow.ts');
  const { planNameOf } = await import('../../library/plan-files.ts');
  const session = await openSession({ starts: 'server' });
  let keep = false;
  try {
    const found = await findRun(session, argument, () => planNameOf(argument), 'under way');
    const { workflowId } = found;
    // Caught before the run's name is printed, since a reader of it may interrupt at once.
    const interrupts = catchInterrupts();
    const url = runUrl(session, workflowId);
    say(url === undefined ? workflowId : `${workflowId}: ${url}`);
    const run = runOf<unknown>(session, workflowId);
    const followed = await follow(run, { quiet: json, keepAlive: session.keepAlive, interrupts });
    if (json) emit({ workflowId, type: found.type, plan: found.plan, detached: !followed.ended });
    if (followed.ended) {
      say(`Ended. holdfast logs ${workflowId} shows what happened.`);
      return EXIT.done;
    }
    keep = true;
    say('Detached; the run goes on. The same command follows it again.');
    return EXIT.inconclusive;
  } finally {
    await session.end({ keep });
  }
}
