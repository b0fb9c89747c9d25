import type { Command } from 'commander';
import { defined } from '../../model/defined.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { DeletionSpec } from '../../model/source.ts';
import type { Deletion } from '../../repository/retention/deletions.ts';
import type { SigningKey } from '../../repository/signing/ssh-key.ts';
import type { Store } from '../../repository/store.ts';
import { HERE } from '../here.ts';
import { type CommonOptions, EXIT, type ExitCode, emit, print, runCommand, UsageError } from '../output.ts';
import { recordHere } from '../record-act.ts';

interface Options extends CommonOptions {
  readonly key?: string;
  readonly reason?: string;
  readonly approve?: boolean;
  readonly withdraw?: boolean;
  readonly dropped?: boolean;
}

export function register(program: Command): void {
  program
    .command('delete')
    .argument('<plan>', 'a plan’s name or file')
    .argument('[backup]', 'a backup’s id (holdfast list shows them)')
    .description(
      'ask for a backup to be deleted before its time, which another of the Repository’s `deletion.approvers` must approve; the next prune deletes it',
    )
    .option('--reason <text>', 'why; it is recorded, and whoever approves reads it')
    .option('--key <file>', 'your own key, whose public half is among the approvers')
    .option('--approve', 'approve what another one asked for')
    .option('--withdraw', 'give up what was asked for, with its approvals')
    .option(
      '--dropped',
      'instead of one backup: all that retention drops, where they are more than `deletion.atOnce`',
    )
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExamples:\n  holdfast delete orders 20261130T020000Z-abcdef --reason "personal data" --key ~/.ssh/alice\n  holdfast delete orders 20261130T020000Z-abcdef --approve --key ~/.ssh/bob',
    )
    .action((argument: string, backup: string | undefined, options: Options) =>
      runCommand(options, () => run(argument, backup, options)),
    );
}

async function run(argument: string, backup: string | undefined, options: Options): Promise<ExitCode> {
  const { approve, withdraw, reason, dropped } = options;
  if ([approve, withdraw, reason !== undefined].filter(Boolean).length !== 1) {
    throw new UsageError(
      'a deletion is asked for, approved or withdrawn',
      'Write one of --reason TEXT, --approve and --withdraw.',
    );
  }
  if ((backup === undefined) !== (dropped === true)) {
    throw new UsageError(
      'what to delete is one backup, or all that retention drops',
      'Write a backup’s id, or --dropped.',
    );
  }
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const { requireBackup, withStore } = await import('../../library/backups.ts');
  const plan = await resolvePlan(argument);
  if (backup !== undefined) await requireBackup(HERE, plan, backup);
  const { deletion: spec } = plan.pipeline.repository;
  if (spec === undefined) {
    throw new UsageError(
      `the repository of ${plan.name} names nobody who may have backups deleted before their time`,
      'Add `deletion` with `approvers` to the Repository (docs/retention.md); or let retention delete it.',
    );
  }
  const done = await withStore(HERE, plan.pipeline.repository, async (store) => {
    const backups = backup === undefined ? await heldBack(store, plan) : [backup];
    if (withdraw) return await withdrawAll(store, plan, backups, options);
    return await signAll(store, plan, { spec, backups, key: await keyOf(options) }, options);
  });
  for (const subject of done) {
    await recordHere(plan.name, plan.pipeline.repository, {
      action: withdraw ? 'deletion-withdrawn' : approve ? 'deletion-approved' : 'deletion-asked',
      subject,
      ...defined({ reason }),
    });
  }
  return EXIT.done;
}

/** The backups that retention drops only after approval. */
async function heldBack(store: Store, plan: CompiledPlan): Promise<readonly string[]> {
  const { judgeByStorage } = await import('../../activities/prune.ts');
  const { pruneInputOf } = await import('../../planning/prune.ts');
  const { heldBack: backups } = await judgeByStorage(store, pruneInputOf(plan));
  if (backups.size > 0) return [...backups];
  throw new UsageError(
    `retention of ${plan.name} drops no backup that must be approved`,
    'See what it does with each: holdfast prune --dry-run.',
  );
}

async function withdrawAll(
  store: Store,
  { name: plan }: CompiledPlan,
  backups: readonly string[],
  { dropped, json }: Options,
): Promise<readonly string[]> {
  const { withdrawDeletion } = await import('../../repository/retention/deletions.ts');
  for (const backup of backups) {
    await withdrawDeletion(store, { plan, backup });
    if (!json) print(`The deletion of ${backup} is given up.`);
  }
  if (json) {
    const withdrawn = backups.map((backup) => ({ plan, backup, withdrawn: true }));
    emit(documentOf(plan, dropped === true, withdrawn));
  }
  return backups;
}

/** Asks for the deletion of each backup, or approves it. Of `--dropped`, what was done before is passed over. */
async function signAll(
  store: Store,
  { name: plan }: CompiledPlan,
  { spec, backups, key }: { spec: DeletionSpec; backups: readonly string[]; key: SigningKey },
  { reason, dropped, json }: Options,
): Promise<readonly string[]> {
  const { approveDeletion, askDeletion, deletionText, isApproved } = await import(
    '../../repository/retention/deletions.ts'
  );
  const signed: Deletion[] = [];
  const asks = reason !== undefined;
  const unsigned = dropped ? await unsignedOf(store, spec, { plan, backups, key, asks }) : backups;
  for (const backup of unsigned) {
    const ref = { plan, backup };
    const deletion =
      reason === undefined
        ? await approveDeletion(store, spec, ref, key)
        : await askDeletion(store, spec, ref, key, reason);
    if (!json) print(`${backup}: ${deletionText(deletion)}.`);
    signed.push(deletion);
  }
  if (json)
    emit(
      documentOf(
        plan,
        dropped === true,
        signed.map((one) => ({ ...one, approved: isApproved(one) })),
      ),
    );
  else if (signed.length === 0) print('Nothing is left to ask for or to approve by this key.');
  else {
    const what = dropped ? '--dropped' : signed[0]?.backup;
    print(
      signed.every(isApproved)
        ? `The next prune deletes ${dropped ? 'them' : 'it'}: holdfast prune ${plan} does it now.`
        : `Another approver: holdfast delete ${plan} ${what} --approve --key FILE`,
    );
  }
  return signed.map(({ backup }) => backup);
}

/** The one document of `--json`: that of a backup, or of all. */
function documentOf(plan: string, dropped: boolean, all: readonly object[]): object {
  return dropped ? { plan, deletions: all } : (all[0] ?? {});
}

/** The backups whose deletion is still to be asked for, or to be approved by this key. */
async function unsignedOf(
  store: Store,
  spec: DeletionSpec,
  { plan, backups, key, asks }: { plan: string; backups: readonly string[]; key: SigningKey; asks: boolean },
): Promise<readonly string[]> {
  const { readDeletions } = await import('../../repository/retention/deletions.ts');
  const asked = new Map((await readDeletions(store, spec, plan)).map((one) => [one.backup, one]));
  const known = backups.filter((backup) => asked.has(backup));
  if (asks) return backups.filter((backup) => !asked.has(backup));
  // Of the first one, the approval then says that nobody has asked.
  if (known.length === 0) return backups.slice(0, 1);
  const { fingerprint } = key.public;
  return known.filter((backup) => asked.get(backup)?.approvedBy.includes(fingerprint) !== true);
}

async function keyOf({ key: file }: Options) {
  const { resolveSecret } = await import('../../engines/resolve-secret.ts');
  const { readSigningKey } = await import('../../repository/signing/ssh-key.ts');
  if (file === undefined) {
    throw new UsageError('whoever asks or approves signs it', 'Name your own key: --key FILE.');
  }
  return readSigningKey(await resolveSecret({ file }), file);
}
