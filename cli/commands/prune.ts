import { type Command, InvalidArgumentError } from 'commander';
import type { BackupFate } from '../../activities/prune.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { PruneOutcome } from '../../model/prune.ts';
import { HOUR_MS } from '../../model/time.ts';
import { hasOwnCredentials } from '../../planning/prune.ts';
import type { FollowRunOptions } from '../follow-run.ts';
import { HERE } from '../here.ts';
import { EXIT, type ExitCode, emit, print, runCommand, say } from '../output.ts';
import type { Session } from '../session.ts';

interface Options extends FollowRunOptions {
  readonly dryRun?: boolean;
  /** How long the writer of an unfinished backup may be silent. */
  readonly grace: number;
}

export function register(program: Command): void {
  program
    .command('prune')
    .argument('<plan>', 'a plan’s name or file')
    .description(
      'apply the plan’s retention: mark what no rule keeps, delete what was marked a grace time ago; and remove what interrupted backups left',
    )
    .option('--dry-run', 'say of each backup which rule keeps or drops it, and change nothing')
    .option(
      '--grace <hours>',
      'leave alone what an unfinished backup wrote later than so: its writer may come back',
      hours,
      24,
    )
    .option('--detach', 'start it and return')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast prune plans/orders.yaml --dry-run')
    .action((argument: string, options: Options) => runCommand(options, () => run(argument, options)));
}

async function run(argument: string, options: Options): Promise<ExitCode> {
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const plan = await resolvePlan(argument);
  if (options.dryRun) return dryRun(plan, options);
  const { startPrune } = await import('../../library/runs.ts');
  const { runOf } = await import('../../library/run-handle.ts');
  const { followRun } = await import('../follow-run.ts');
  return followRun<PruneOutcome>(
    options,
    { plan },
    async (session) => {
      const { workflowId } = await startPrune(session, plan, { orphanGraceMs: options.grace * HOUR_MS });
      if (hasOwnCredentials(plan.pipeline.repository)) await tellWhereItRuns(session);
      return {
        run: runOf<PruneOutcome>(session, workflowId),
        title: `Pruning ${plan.name}`,
        names: { plan: plan.name },
        whenDetached: 'Detached; the prune goes on. The same command follows it again.',
      };
    },
    (outcome) => report(outcome, options),
  );
}

/** Tells the user where the prune will run, if it has credentials of its own and no worker with these polls yet. */
async function tellWhereItRuns({ client, taskQueue }: Session): Promise<void> {
  const { isPolled } = await import('../../activities/pollers.ts');
  const { pruneQueue } = await import('../../model/task-queue.ts');
  const queue = pruneQueue(taskQueue);
  if (await isPolled(client, queue, 'activities')) return;
  say(
    `No worker polls the task queue ${queue} yet: start one with \`holdfast worker --only prune\`, where the plan's pruneCredentials are.`,
  );
}

/** Shows what a prune would do. Reads the repository directly and needs no server. */
async function dryRun(plan: CompiledPlan, options: Options): Promise<ExitCode> {
  const { fatesOf, judgeByStorage } = await import('../../activities/prune.ts');
  const { pruneInputOf } = await import('../../planning/prune.ts');
  const { findOrphans } = await import('../../repository/retention/sweep.ts');
  const { formatAmount, formatBytes } = await import('../../model/amounts.ts');
  const { withStore } = await import('../../library/backups.ts');
  return withStore(HERE, plan.pipeline.repository, async (store) => {
    const backups = fatesOf(await judgeByStorage(store, pruneInputOf(plan)));
    const orphans = await Array.fromAsync(findOrphans(store, plan.name, options.grace * HOUR_MS));
    if (options.json) {
      const found = orphans.map(({ backup, kind, objects, bytes }) => ({ backup, kind, objects, bytes }));
      emit({ plan: plan.name, backups, orphans: found, removed: null });
      return EXIT.done;
    }
    for (const one of backups) {
      const until = 'deleteAfter' in one && one.fate !== 'delete' ? `; deleted after ${one.deleteAfter}` : '';
      print(`${one.fate.padEnd(6)}  ${one.backup}  ${one.instant}  ${one.reason}${until}`);
    }
    for (const { backup, kind, objects, bytes } of orphans) {
      print(`remove  ${backup}  ${kind}: ${formatAmount(objects, 'object')}, ${formatBytes(bytes)}`);
    }
    const count = (...fates: readonly BackupFate['fate'][]) =>
      backups.filter(({ fate }) => fates.includes(fate)).length;
    print(
      `${formatAmount(backups.length, 'backup')}: ${count('keep', 'unmark')} kept, ${count('mark')} to mark, ` +
        `${count('unmark')} to unmark, ${count('delete')} to delete${heldBackText(count('ask'), plan.name)}; ${orphans.length} left-overs to remove. ` +
        'Nothing was changed (--dry-run).',
    );
    return EXIT.done;
  });
}

async function report(outcome: PruneOutcome, options: Options): Promise<ExitCode> {
  const { plan, marks, deletions, durationMs } = outcome;
  const { orphans, ...removed } = outcome.orphans;
  if (options.json) {
    emit({ plan, marks, deletions, orphans, removed, durationMs });
    return EXIT.done;
  }
  const { formatAmount, formatBytes } = await import('../../model/amounts.ts');
  print(
    `${formatAmount(marks.backups, 'backup')}: ${marks.kept} kept, ${marks.waiting} marked and within their grace time.`,
  );
  if (marks.marked.length > 0) print(`Marked: ${marks.marked.join(', ')}`);
  if (marks.unmarked.length > 0) print(`Unmarked: ${marks.unmarked.join(', ')}`);
  if (marks.heldBack !== undefined) print(`Not dropped${heldBackText(marks.heldBack, plan)}.`);
  if (deletions.deletedBackups > 0) {
    print(`Deleted: ${deletions.deleted.join(', ')} (${formatBytes(deletions.deletedBytes)})`);
  }
  if (deletions.inUse.length > 0) print(`Being read, and so kept: ${deletions.inUse.join(', ')}`);
  if (removed.sharedProblem !== undefined) print(`Shared objects are left alone: ${removed.sharedProblem}`);
  print(
    `Left-overs: ${formatAmount(removed.deletedObjects, 'object')} removed, ${formatBytes(removed.deletedBytes)}.`,
  );
  return EXIT.done;
}

/** A clause on backups that retention doesn't drop without approval. */
function heldBackText(count: number, plan: string): string {
  if (count === 0) return '';
  return `, ${count} that must be approved, since they are more than the Repository’s \`deletion.atOnce\`: holdfast delete ${plan} --dropped`;
}

function hours(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new InvalidArgumentError('write a number of hours');
  return value;
}
