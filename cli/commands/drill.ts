import type { Command } from 'commander';
import { formatAmount } from '../../model/amounts.ts';
import type { DrillOutcome } from '../../model/drill.ts';
import { proofText } from '../../planning/archive/proofs.ts';
import type { FollowRunOptions } from '../follow-run.ts';
import { HERE } from '../here.ts';
import { EXIT, type ExitCode, emit, print, runCommand } from '../output.ts';

interface Options extends FollowRunOptions {
  readonly backup?: string;
}

export function register(program: Command): void {
  program
    .command('drill')
    .argument('<plan>', 'a plan’s name or file')
    .description(
      'test a restore: into scratch databases, compared, asked the plan’s assertions, dropped; exit 0 OK, 1 FAILED, 3 INCONCLUSIVE',
    )
    .option('--backup <id>', 'this backup; otherwise as the plan’s `drill.backup` says, or the newest')
    .option('--detach', 'start it and return')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast drill plans/orders.yaml')
    .action((argument: string, options: Options) => runCommand(options, () => run(argument, options)));
}

async function run(argument: string, options: Options) {
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const { startDrill } = await import('../../library/runs.ts');
  const { runOf } = await import('../../library/run-handle.ts');
  const { followRun } = await import('../follow-run.ts');
  const plan = await resolvePlan(argument);
  const { requireBackup } = await import('../../library/backups.ts');
  if (options.backup !== undefined) await requireBackup(HERE, plan, options.backup);
  return followRun<DrillOutcome>(
    options,
    { plan },
    async (session) => {
      const { id, workflowId } = await startDrill(session, plan, options.backup);
      return {
        run: runOf<DrillOutcome>(session, workflowId),
        title: `Drill ${id} of ${plan.name}`,
        names: { plan: plan.name, drill: id },
        whenDetached: 'Detached; the drill goes on. Its verdict comes into the ledger of the backup.',
      };
    },
    (outcome) => report(outcome, options),
  );
}

function report(outcome: DrillOutcome, options: Options): ExitCode {
  if (options.json) emit(outcome);
  else {
    const { backup, verdict, restoreMs, assertions, problems } = outcome;
    const time = restoreMs === undefined ? '' : `, restored in ${(restoreMs / 1000).toFixed(1)} s`;
    print(
      `${backup ?? outcome.plan}: ${verdict}${time}, ${formatAmount(assertions.length, 'assertion')} asked`,
    );
    for (const problem of problems) print(`  ${problem}`);
    if (outcome.proof?.verdict === 'OK') print(`  ${proofText(outcome.proof)}`);
  }
  if (outcome.verdict === 'OK') return EXIT.done;
  return outcome.verdict === 'FAILED' ? EXIT.failed : EXIT.inconclusive;
}
