import type { Command } from 'commander';
import { HERE } from '../here.ts';
import { type CommonOptions, EXIT, type ExitCode, emit, print, runCommand, say } from '../output.ts';

export function register(program: Command): void {
  program
    .command('audit')
    .argument('<plan>', 'a plan’s name or file')
    .description(
      'who did what to the plan and its backups, by the log in its repository, and whether the log is whole; exit code 1 where it is not, 3 where nothing is recorded',
    )
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast audit orders')
    .action((argument: string, options: CommonOptions) => runCommand(options, () => run(argument, options)));
}

const EXIT_OF = { OK: EXIT.done, FAILED: EXIT.failed, INCONCLUSIVE: EXIT.inconclusive } as const;

async function run(argument: string, { json }: CommonOptions): Promise<ExitCode> {
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const { withStore } = await import('../../library/backups.ts');
  const { readAudit } = await import('../../repository/audit.ts');
  const plan = await resolvePlan(argument);
  const { entries, problems, head } = await withStore(HERE, plan.pipeline.repository, (store) =>
    readAudit(store, plan.name),
  );
  const verdict = problems.length > 0 ? 'FAILED' : head === undefined ? 'INCONCLUSIVE' : 'OK';
  if (json) emit({ plan: plan.name, verdict, problems, head: head ?? null, entries });
  else {
    for (const { number, at, by, action, subject, reason } of entries) {
      const what = subject === undefined ? action : `${action} ${subject}`;
      print(`${number}  ${at}  ${by}  ${what}${reason === undefined ? '' : `: ${reason}`}`);
    }
    for (const problem of problems) print(`✘ ${problem}`);
    if (head === undefined) say(`Nothing is recorded of plan ${plan.name}.`);
    else
      say(
        `${verdict === 'OK' ? 'The chain is whole' : 'The chain is broken'}, up to entry ${head.number}, SHA-256 ${head.sha256}.`,
      );
  }
  return EXIT_OF[verdict];
}
