import type { Command } from 'commander';
import type { BackupOutcome } from '../../workflows/messages.ts';
import { type CommonOptions, EXIT, emit, print, runCommand, say } from '../output.ts';

interface Options extends CommonOptions {
  readonly detach?: boolean;
  readonly new?: boolean;
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
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  ORDERS_DATABASE_URL=postgresql://… holdfast backup plans/orders.yaml',
    )
    .action((argument: string, options: Options) => runCommand(options, () => run(argument, options)));
}

async function run(argument: string, options: Options) {
  const { resolvePlan } = await import('../planFiles.ts');
  const plan = await resolvePlan(argument);
  const { openSession, runUrl } = await import('../session.ts');
  const { follow } = await import('../follow.ts');
  const { startBackup } = await import('../runs.ts');
  const session = await openSession();
  let keep = false;
  try {
    const workflowId =
      (await underWay(session, plan.name, options)) ?? (await startBackup(session, plan)).workflowId;
    const backup = workflowId.slice(workflowId.lastIndexOf(':') + 1);
    const url = runUrl(session, workflowId);
    say(`Backup ${backup} of ${plan.name}${url === undefined ? '' : `: ${url}`}`);
    if (options.detach) {
      keep = true;
      if (options.json) emit({ plan: plan.name, backup, workflowId, detached: true });
      return EXIT.done;
    }
    const handle = session.client.workflow.getHandle(workflowId);
    const followed = await follow<BackupOutcome>(handle, { quiet: options.json === true });
    if (!followed.ended) {
      keep = true;
      say(`Detached; it goes on. holdfast backup ${argument} follows it again.`);
      if (options.json) emit({ plan: plan.name, backup, workflowId, detached: true });
      return EXIT.failed;
    }
    report(followed.result, argument, options);
    return EXIT.done;
  } finally {
    await session.end({ keep });
  }
}

type Session = Awaited<ReturnType<typeof import('../session.ts').openSession>>;

async function underWay(session: Session, plan: string, options: Options): Promise<string | undefined> {
  if (options.new) return undefined;
  const { runningOf } = await import('../runs.ts');
  const [running] = await runningOf(session, 'backup', plan);
  if (running !== undefined) say('A backup of this plan is under way; following it (--new starts another).');
  return running;
}

function report(outcome: BackupOutcome, argument: string, options: Options): void {
  const { summary, verifications, durationMs, epochs } = outcome;
  // What was verified says more than that the workflow reached its end.
  const verdict = verifications.length === 0 ? 'INCONCLUSIVE' : 'OK';
  if (options.json) {
    emit({ ...summary, verdict, verified: verifications.map(({ level }) => level), epochs, durationMs });
    return;
  }
  print(`Backup ${summary.backup} is complete${verifications.length > 0 ? ' and verified' : ''}.`);
  print(`Restore it beside the original:  holdfast restore ${argument} --backup ${summary.backup}`);
}
