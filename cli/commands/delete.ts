import type { Command } from 'commander';
import { defined } from '../../model/defined.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { DeletionSpec } from '../../model/source.ts';
import type { Deletion } from '../../repository/retention/deletions.ts';
import type { SigningKey } from '../../repository/signing/ssh-key.ts';
import type { Store } from '../../repository/store.ts';
import { HERE } from '../here.ts';
import { type CommonOptions, EXIT, type ExitCode, emit, print, runCommand, UsageError } from '../output.ts';
import { recordIn } from '../record-act.ts';

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
  await withStore(HERE, plan.pipeline.repository, async (store) => {
    const record = (subject: string) =>
      recordIn(store, plan.name, {
        action: withdraw ? 'deletion-withdrawn' : approve ? 'deletion-approved' : 'deletion-asked',
        subject,
        ...defined({ reason }),
      });
    const deleting: Deleting = { store, plan, spec, record, options };
    if (withdraw) return withdrawAll(deleting, backup === undefined ? await askedOf(deleting) : [backup]);
    const key = await keyOf(options);
    const backups = backup === undefined ? await unsignedOf(deleting, key) : [backup];
    return signAll(deleting, backups, key);
  });
  return EXIT.done;
}

interface Deleting {
  readonly store: Store;
  readonly plan: CompiledPlan;
  readonly spec: DeletionSpec;
  readonly options: Options;
  /** Tells the log of the plan what was done to a backup, as soon as it was done. */
  readonly record: (backup: string) => Promise<void>;
}

/** The backups that were asked for by `--dropped`, whether retention still drops them or not. */
async function askedOf({ store, plan, spec }: Deleting): Promise<readonly string[]> {
  const { readDeletions } = await import('../../repository/retention/deletions.ts');
  const asked = (await readDeletions(store, spec, plan.name)).filter(({ dropped }) => dropped === true);
  if (asked.length > 0) return asked.map(({ backup }) => backup);
  throw new UsageError(
    `nobody has asked for the deletion of what retention of ${plan.name} drops`,
    'One backup whose deletion was asked for by its id is given up by that: holdfast delete PLAN BACKUP --withdraw.',
  );
}

async function withdrawAll(
  { store, plan: { name: plan }, record, options: { dropped, json } }: Deleting,
  backups: readonly string[],
): Promise<void> {
  const { withdrawDeletion } = await import('../../repository/retention/deletions.ts');
  for (const backup of backups) {
    await withdrawDeletion(store, { plan, backup });
    await record(backup);
    if (!json) print(`The deletion of ${backup} is given up.`);
  }
  if (!json) return;
  emit(
    documentOf(
      plan,
      dropped === true,
      backups.map((backup) => ({ plan, backup, withdrawn: true })),
    ),
  );
}

/** Asks for the deletion of each backup, or approves it. */
async function signAll(
  { store, plan: { name: plan }, spec, record, options: { reason, dropped, json } }: Deleting,
  backups: readonly string[],
  key: SigningKey,
): Promise<void> {
  const { approveDeletion, askDeletion, deletionText, isApproved } = await import(
    '../../repository/retention/deletions.ts'
  );
  const signed: Deletion[] = [];
  for (const backup of backups) {
    const ref = { plan, backup };
    const deletion =
      reason === undefined
        ? await approveDeletion(store, spec, ref, key)
        : await askDeletion(store, spec, ref, key, { reason, dropped });
    await record(backup);
    if (!json) print(`${backup}: ${deletionText(deletion)}.`);
    signed.push(deletion);
  }
  if (json) {
    const all = signed.map((one) => ({ ...one, approved: isApproved(one) }));
    emit(documentOf(plan, dropped === true, all));
  } else if (signed.length === 0) print('Nothing is left to ask for or to approve by this key.');
  else {
    const what = dropped ? '--dropped' : signed[0]?.backup;
    print(
      signed.every(isApproved)
        ? `The next prune deletes ${dropped ? 'them' : 'it'}: holdfast prune ${plan} does it now.`
        : `Another approver: holdfast delete ${plan} ${what} --approve --key FILE`,
    );
  }
}

/** The one document of `--json`: that of a backup, or of all. */
function documentOf(plan: string, dropped: boolean, all: readonly object[]): object {
  return dropped ? { plan, deletions: all } : (all[0] ?? {});
}

/** Of the backups that retention drops only after approval, those whose deletion is still to be asked for, or to be approved by this key. */
async function unsignedOf(
  { store, plan, spec, options: { reason } }: Deleting,
  { public: { fingerprint } }: SigningKey,
): Promise<readonly string[]> {
  const { readDeletions } = await import('../../repository/retention/deletions.ts');
  const backups = await heldBack(store, plan);
  const asked = new Map((await readDeletions(store, spec, plan.name)).map((one) => [one.backup, one]));
  if (reason !== undefined) return backups.filter((backup) => !asked.has(backup));
  const mine = (backup: string) => asked.get(backup)?.askedBy === fingerprint;
  const others = backups.filter((backup) => asked.has(backup) && !mine(backup));
  // Of one that nobody else has asked for, the approval says why it can't be given.
  if (others.length === 0)
    return backups.toSorted((one, other) => Number(mine(other)) - Number(mine(one))).slice(0, 1);
  return others.filter((backup) => asked.get(backup)?.approvedBy.includes(fingerprint) !== true);
}

/** The backups that retention drops only after approval. What reads one now stands in the way of its deletion, not of this. */
async function heldBack(store: Store, plan: CompiledPlan): Promise<readonly string[]> {
  const { judge } = await import('../../activities/prune.ts');
  const { pruneInputOf } = await import('../../planning/prune.ts');
  const { heldBack: backups } = await judge(store, pruneInputOf(plan), {
    now: new Date(),
    isLive: async () => false,
  });
  if (backups.size > 0) return [...backups];
  throw new UsageError(
    `retention of ${plan.name} drops no backup that must be approved`,
    'See what it does with each: holdfast prune --dry-run.',
  );
}

async function keyOf({ key: file }: Options) {
  const { resolveSecret } = await import('../../engines/resolve-secret.ts');
  const { readSigningKey } = await import('../../repository/signing/ssh-key.ts');
  if (file === undefined) {
    throw new UsageError('whoever asks or approves signs it', 'Name your own key: --key FILE.');
  }
  return readSigningKey(await resolveSecret({ file }), file);
}
