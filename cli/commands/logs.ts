import type { Command } from 'commander';
import { type CommonOptions, emit, print, runCommand } from '../output.ts';

export function register(program: Command): void {
  program
    .command('logs')
    .argument('<plan|run>', 'workflow id of a run, or a plan, whose newest run is meant')
    .description('what happened in a run, in order: stages, attempts with their errors, messages, its end')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast logs orders')
    .action((argument: string, options: CommonOptions) => runCommand(options, () => run(argument, options)));
}

async function run(argument: string, { json }: CommonOptions): Promise<undefined> {
  const { openSession } = await import('../session.ts');
  const { findRun } = await import('../find-run.ts');
  const { planNameOf } = await import('../plan-files.ts');
  const { readRun } = await import('../logs/read-run.ts');
  const { logLines } = await import('../logs/log-lines.ts');
  const session = await openSession({ starts: 'server' });
  try {
    const found = await findRun(session.client, argument, () => planNameOf(argument), 'any');
    const events = await readRun(session.client, found.workflowId);
    if (json) emit({ ...found, events });
    else {
      print(`${found.workflowId}${found.isRunning ? ', under way' : ''}`);
      for (const line of logLines(found.workflowId, events)) print(line);
    }
    return undefined;
  } finally {
    await session.end();
  }
}
