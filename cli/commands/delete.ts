import type { Command } from 'commander';
import { defined } from '../../model/defined.ts';
import { HERE } from '../here.ts';
import { type CommonOptions, EXIT, type ExitCode, emit, print, runCommand, UsageError } from '../output.ts';
import { recordHere } from '../record-act.ts';

interface Options extends CommonOptions {
  readonly key?: string;
  readonly reason?: string;
  readonly approve?: boolean;
  readonly withdraw?: boolean;
}

export function register(program: Command): void {
  program
    .command('delete')
    .argument('<plan>', 'a plan’s name or file')
    .argument('<backup>', 'a backup’s id (holdfast list shows them)')
    .description(
      'ask for a backup to be deleted before its time, which another of the Repository’s `deletion.approvers` must approve; the next prune deletes it',
    )
    .option('--reason <text>', 'why; it is recorded, and whoever approves reads it')
    .option('--key <file>', 'your own key, whose public half is among the approvers')
    .option('--approve', 'approve what another one asked for')
    .option('--withdraw', 'give up what was asked for, with its approvals')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExamples:\n  holdfast delete orders 20261130T020000Z-abcdef --reason "personal data" --key ~/.ssh/alice\n  holdfast delete orders 20261130T020000Z-abcdef --approve --key ~/.ssh/bob',
    )
    .action((argument: string, backup: string, options: Options) =>
      runCommand(options, () => run(argument, backup, options)),
    );
}

async function run(argument: string, backup: string, options: Options): Promise<ExitCode> {
  const { approve, withdraw, reason, json } = options;
  if ([approve, withdraw, reason !== undefined].filter(Boolean).length !== 1) {
    throw new UsageError(
      'a deletion is asked for, approved or withdrawn',
      'Write one of --reason TEXT, --approve and --withdraw.',
    );
  }
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const { requireBackup, withStore } = await import('../../library/backups.ts');
  const { approveDeletion, askDeletion, deletionText, isApproved, withdrawDeletion } = await import(
    '../../repository/retention/deletions.ts'
  );
  const plan = await resolvePlan(argument);
  await requireBackup(HERE, plan, backup);
  const ref = { plan: plan.name, backup };
  const { deletion: spec } = plan.pipeline.repository;
  if (spec === undefined) {
    throw new UsageError(
      `the repository of ${plan.name} names nobody who may have backups deleted before their time`,
      'Add `deletion` with `approvers` to the Repository (docs/retention.md); or let retention delete it.',
    );
  }
  const code = await withStore(HERE, plan.pipeline.repository, async (store) => {
    if (withdraw) {
      await withdrawDeletion(store, ref);
      if (json) emit({ ...ref, withdrawn: true });
      else print(`The deletion of ${backup} is given up.`);
      return EXIT.done;
    }
    const key = await keyOf(options);
    const deletion =
      reason === undefined
        ? await approveDeletion(store, spec, ref, key)
        : await askDeletion(store, spec, ref, key, reason);
    if (json) emit({ ...deletion, approved: isApproved(deletion) });
    else {
      print(`${backup}: ${deletionText(deletion)}.`);
      print(
        isApproved(deletion)
          ? `The next prune deletes it: holdfast prune ${plan.name} does it now.`
          : `Another approver: holdfast delete ${plan.name} ${backup} --approve --key FILE`,
      );
    }
    return EXIT.done;
  });
  await recordHere(plan.name, plan.pipeline.repository, {
    action: withdraw ? 'deletion-withdrawn' : approve ? 'deletion-approved' : 'deletion-asked',
    subject: backup,
    ...defined({ reason }),
  });
  return code;
}

async function keyOf({ key: file }: Options) {
  const { resolveSecret } = await import('../../engines/resolve-secret.ts');
  const { readSigningKey } = await import('../../repository/signing/ssh-key.ts');
  if (file === undefined) {
    throw new UsageError('whoever asks or approves signs it', 'Name your own key: --key FILE.');
  }
  return readSigningKey(await resolveSecret({ file }), file);
}
