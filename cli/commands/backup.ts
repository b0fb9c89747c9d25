import type { Command } from 'commander';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { BackupOutcome } from '../../workflows/messages.ts';
import type { FollowRunOptions } from '../follow-run.ts';
import { EXIT, type ExitCode, emit, print, runCommand, say, UsageError } from '../output.ts';
import type { Session } from '../session.ts';

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
  const { resolvePlan } = await import('../plan-files.ts');
  const { followRun } = await import('../follow-run.ts');
  const { runningOf } = await import('../runs.ts');
  const plan = await resolvePlan(argument);
  return followRun<BackupOutcome>(
    options,
    { plan },
    async (session) => {
      const [underWay] = options.new ? [] : await runningOf(session, 'backup', plan.name);
      if (underWay !== undefined && options.ignoreWindow) throw keepsItsWindow(plan.name, argument);
      if (underWay !== undefined)
        say('A backup of this plan is under way; following it (--new starts another).');
      const workflowId = underWay ?? (await begin(session, plan, options)).workflowId;
      const backup = await idOf(session, plan, workflowId);
      return {
        workflowId,
        title: `Backup ${backup} of ${plan.name}`,
        names: { plan: plan.name, backup },
        whenDetached: `Detached; it goes on. holdfast backup ${argument} follows it again.`,
      };
    },
    (outcome) => report(outcome, argument, options),
  );
}

/**
 * The id of the backup. A run that a schedule started chose the id itself and reports it to the plan's entity; until then its workflow id
 * is shown.
 */
async function idOf({ client }: Session, { name }: CompiledPlan, workflowId: string): Promise<string> {
  const { backupWorkflowId } = await import('../../workflows/messages.ts');
  const prefix = backupWorkflowId(name, '');
  if (workflowId.startsWith(prefix)) return workflowId.slice(prefix.length);
  const { findEntity } = await import('../plan-entities.ts');
  const entity = await findEntity(client, name);
  return entity?.status.running.find((run) => run.workflowId === workflowId)?.id ?? workflowId;
}

/** Starts the backup. If the plan is applied, its entity starts it, which makes one at a time; otherwise this does. */
async function begin(
  session: Session,
  plan: CompiledPlan,
  options: Options,
): Promise<{ readonly workflowId: string }> {
  const { startBackup } = await import('../runs.ts');
  const { isGoverned, requestRun } = await import('../entity-runs.ts');
  const { new: another = false, ignoreWindow = false } = options;
  if (another || ignoreWindow || !(await isGoverned(session, plan))) {
    return startBackup(session, plan, ignoreWindow);
  }
  const { taskQueue } = session;
  return requestRun(session, plan, 'backup', { taskQueue }, options.detach === true);
}

function keepsItsWindow(plan: string, argument: string): UsageError {
  return new UsageError(
    `A backup of ${plan} is under way, and keeps its window.`,
    `Add --new to start another one beside it, or end it with \`holdfast cancel ${argument}\` first.`,
  );
}

function report(outcome: BackupOutcome, argument: string, options: Options): ExitCode {
  const { summary, verifications, durationMs, epochs } = outcome;
  // The exit code depends on the verdict too, not only on how the workflow ended.
  const verdict = verifications.length === 0 ? 'INCONCLUSIVE' : 'OK';
  if (options.json) {
    emit({ ...summary, verdict, verified: verifications.map(({ level }) => level), epochs, durationMs });
    return EXIT.done;
  }
  print(`Backup ${summary.backup} is complete${verifications.length > 0 ? ' and verified' : ''}.`);
  if (summary.losses !== undefined) {
    print('What it does not carry:');
    for (const loss of summary.losses) print(`  ${loss}`);
  }
  print(`Restore it beside the original:  holdfast restore ${argument} --backup ${summary.backup}`);
  return EXIT.done;
}
