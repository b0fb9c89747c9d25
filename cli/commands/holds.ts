import type { Command } from 'commander';
import { personHere } from '../../worker/person.ts';
import { HERE } from '../here.ts';
import { type CommonOptions, EXIT, type ExitCode, emit, print, runCommand } from '../output.ts';
import { checkReason, recordHere } from '../record-act.ts';

/**
 * `hold` and `release`: a held backup stays, whatever the retention, until somebody releases it. Both need only the repository.
 */

interface Options extends CommonOptions {
  readonly reason: string;
}

const COMMANDS = {
  hold: {
    description:
      'keep a backup from being deleted, without end, until it is released; retention and deletions obey it',
    why: 'why it must stay; it is shown with the backup, and recorded',
    example: 'holdfast hold orders 20261130T020000Z-abcdef --reason "case 4711"',
  },
  release: {
    description: 'release what holds a backup: retention judges it again',
    why: 'why it need not stay any more; recorded',
    example: 'holdfast release orders 20261130T020000Z-abcdef --reason "case 4711 is closed"',
  },
} as const;

/** Returns the function that registers one of these commands. */
export function registering(name: keyof typeof COMMANDS): (program: Command) => void {
  return (program) => {
    const { description, why, example } = COMMANDS[name];
    program
      .command(name)
      .argument('<plan>', 'a plan’s name or file')
      .argument('<backup>', 'a backup’s id (holdfast list shows them)')
      .description(description)
      .requiredOption('--reason <text>', why)
      .option('--json', 'one JSON document on stdout')
      .addHelpText('after', `\nExample:\n  ${example}`)
      .action((argument: string, backup: string, options: Options) =>
        runCommand(options, () => run(name, argument, backup, options)),
      );
  };
}

async function run(
  name: keyof typeof COMMANDS,
  argument: string,
  backup: string,
  { reason, json }: Options,
): Promise<ExitCode> {
  checkReason(reason);
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const { requireBackup, withStore } = await import('../../library/backups.ts');
  const { holdBackup, releaseBackup } = await import('../../repository/retention/holds.ts');
  const { formatAmount } = await import('../../model/amounts.ts');
  const plan = await resolvePlan(argument);
  await requireBackup(HERE, plan, backup);
  const ref = { plan: plan.name, backup };
  const who = { reason, by: personHere() };
  await withStore(HERE, plan.pipeline.repository, async (store) => {
    if (name === 'hold') {
      const hold = await holdBackup(store, ref, who);
      if (json) emit(hold);
      else print(`${backup} is held: ${reason}`);
      return;
    }
    const released = await releaseBackup(store, ref, who);
    if (json) emit({ ...ref, released });
    else if (released === 0) print(`Nothing held ${backup}.`);
    else print(`${backup}: ${formatAmount(released, 'hold')} released. Retention judges it again.`);
  });
  await recordHere(plan.name, plan.pipeline.repository, { action: name, subject: backup, reason });
  return EXIT.done;
}
