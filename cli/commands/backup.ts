import type { Command } from 'commander';
import type { BackupDocument } from '../../library/index.ts';
import type { FollowRunOptions } from '../follow-run.ts';
import { EXIT, type ExitCode, emit, print, runCommand, say } from '../output.ts';

interface Options extends FollowRunOptions {
  readonly new?: boolean;
  readonly ignoreWindow?: boolean;
}

export function register(program: Command): void {
  program
    .command('backup')
    .argument('<plan>', 'a plan’s name, or its file (plans/orders.yaml, with #name where it holds several)')
    .description(
      'back up now and follow it; a backup of the plan that is under way already is followed instead',
    )
    .option('--detach', 'start it and return')
    .option('--new', 'start another one even if one is under way')
    .option('--ignore-window', 'do not wait for the plan’s window')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  ORDERS_DATABASE_URL=postgresql://… holdfast backup plans/orders.yaml',
    )
    .action((argument: string, options: Options) => runCommand(options, () => run(argument, options)));
}

async function run(argument: string, options: Options) {
  const { openPlan, startBackup } = await import('../../library/index.ts');
  const { followRun } = await import('../follow-run.ts');
  const { tellingWaits } = await import('../waiting.ts');
  const plan = await openPlan(argument);
  return followRun<BackupDocument>(
    options,
    { plan },
    async (session) => {
      const run = await startBackup(session, plan, {
        ...tellingWaits(plan.name),
        another: options.new === true,
        detach: options.detach === true,
        ignoreWindow: options.ignoreWindow === true,
      });
      if (run.joined) say('A backup of this plan is under way; following it (--new starts another).');
      return {
        run,
        title: `Backup ${run.id} of ${plan.name}`,
        names: { plan: plan.name, backup: run.id },
        whenDetached: `Detached; it goes on. holdfast backup ${argument} follows it again.`,
      };
    },
    (document) => report(document, argument, options),
  );
}

/** The exit code is 0 for every backup that is complete; `verdict` says whether it was verified. */
function report(document: BackupDocument, argument: string, options: Options): ExitCode {
  if (options.json) {
    emit(document);
    return EXIT.done;
  }
  const { backup, verified, losses } = document;
  print(`Backup ${backup} is complete${verified.length > 0 ? ' and verified' : ''}.`);
  if (losses !== undefined) {
    print('What it does not carry:');
    for (const loss of losses) print(`  ${loss}`);
  }
  print(`Restore it beside the original:  holdfast restore ${argument} --backup ${backup}`);
  return EXIT.done;
}
