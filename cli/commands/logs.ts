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
  const { logs } = await import('../../library/index.ts');
  const { planNameOf } = await import('../../library/plan-files.ts');
  const { logLines } = await import('../logs/log-lines.ts');
  const session = await openSession({ starts: 'server' });
  try {
    const document = await logs(session, argument, () => planNameOf(argument));
    if (json) emit(document);
    else {
      const { workflowId, isRunning, events } = document;
      print(`${workflowId}${isRunning ? ', under way' : ''}`);
      for (const line of logLines(workflowId, events)) print(line);
    }
    return undefined;
  } finally {
    await session.end();
  }
}
