import { CancellationScope, log, workflowInfo } from '@temporalio/workflow';
import { formatAmount, formatBytes, formatCount } from '../model/amounts.ts';
import { defined } from '../model/defined.ts';
import type { DeleteSummary, MarkSummary, OrphanSummary, PruneInput, PruneOutcome } from '../model/prune.ts';
import { pruneQueue } from '../model/task-queue.ts';
import { hasOwnCredentials } from '../planning/prune.ts';
import { activitiesFor, PATIENT_RETRY, patiently } from './activity-proxies.ts';
import { tellCatalogueChanged } from './catalogue-news.ts';
import { describeFailure } from './failures.ts';
import { sendNotification } from './notify.ts';
import type { PruneStage } from './progress.ts';
import { RunFrame, stepsOf } from './run-frame.ts';

const STAGES: readonly PruneStage[] = ['mark', 'delete', 'sweep'];

/**
 * Applies a plan's retention: marks backups that no rule keeps; deletes those that were marked a grace time ago and still
 * aren't kept; sweeps what interrupted backups left. Each stage decides anew from what the repository holds, and a stage
 * that dies is begun again.
 */
export async function prune({ notify, labels, ...input }: PruneInput): Promise<PruneOutcome> {
  const frame = new RunFrame({
    title: `Retention of ${input.plan}`,
    steps: stepsOf(STAGES),
    news: { kind: 'prune', plan: input.plan, ...defined({ notify, labels }) },
  });
  try {
    return await frame.run({
      work: () => work(input, frame),
      end: (outcome) => ({ headline: headlineOf(outcome), facts: factsOf(outcome) }),
      succeeded: async ({ marks }) => {
        await tellCatalogueChanged(input.plan);
        if (marks.heldBack !== undefined) await tellHeldBack(marks.heldBack);
      },
    });
  } finally {
    await CancellationScope.nonCancellable(() => endPrune(input));
  }

  function tellHeldBack(heldBack: number): Promise<void> {
    const headline = `Retention of ${input.plan} dropped none of ${formatAmount(heldBack, 'backup')} that no rule keeps: they are more than \`deletion.atOnce\`. If they are meant to go, have their deletion approved (holdfast delete ${input.plan} --dropped)`;
    const news = { type: 'prune.held-back', ok: false, headline, facts: {} } as const;
    return sendNotification('held-back', { ...news, plan: input.plan, ...defined({ notify, labels }) }, true);
  }
}

async function work(input: PruneInput, frame: RunFrame): Promise<PruneOutcome> {
  const startedAtMs = Date.now();
  const marks = await frame.stage(
    'mark',
    () => call(input, 'mark what no rule keeps').markBackups(input),
    markNote,
  );
  const deletions = await frame.stage(
    'delete',
    () => (marks.due === 0 ? Promise.resolve(NOTHING_DELETED) : call(input, 'delete').deleteBackups(input)),
    deleteNote,
  );
  const orphans = await frame.stage('sweep', () => call(input, 'sweep').sweepOrphans(input), sweepNote);
  return { plan: input.plan, marks, deletions, orphans, durationMs: Date.now() - startedAtMs };
}

const NOTHING_DELETED: DeleteSummary = {
  deleted: [],
  deletedBackups: 0,
  deletedObjects: 0,
  deletedBytes: 0,
  inUse: [],
};

/** Gives the lease back. A failure to do so doesn't fail the prune, since the lease runs out by itself. */
async function endPrune(input: PruneInput): Promise<void> {
  try {
    await activitiesFor({
      ...defined({ taskQueue: queueFor(input) }),
      summary: 'let the next prune begin',
      retry: { ...PATIENT_RETRY, maximumAttempts: 3 },
      timeoutMs: 60_000,
    }).endPrune(input);
  } catch (error) {
    log.warn('the lease of this prune ends by itself', { reason: describeFailure(error).message });
  }
}

function call(input: PruneInput, summary: string) {
  return patiently(summary, queueFor(input));
}

/** The task queue of the prune. Where it has credentials of its own, it runs on the queue of the worker that has them. */
function queueFor({ repository }: PruneInput): string | undefined {
  return hasOwnCredentials(repository) ? pruneQueue(workflowInfo().taskQueue) : undefined;
}

function markNote({
  backups,
  kept,
  marked,
  unmarked,
  waiting,
  nextDeletion,
  due,
  heldBack,
}: MarkSummary): string {
  const next = nextDeletion === undefined ? '' : `, the next after ${nextDeletion}`;
  return (
    `${formatAmount(backups, 'backup')}, ${formatCount(kept)} kept; marked ${namesOf(marked)}; ` +
    `unmarked ${namesOf(unmarked)}; ${waiting} within their grace time${next}; ${due} to delete now${heldBackText(heldBack)}`
  );
}

function heldBackText(heldBack: number | undefined): string {
  if (heldBack === undefined) return '';
  return `; ${formatAmount(heldBack, 'backup')} not dropped: more than \`deletion.atOnce\`, so their deletion must be approved (holdfast delete PLAN --dropped)`;
}

function deleteNote({ deleted, deletedObjects, deletedBytes, inUse }: DeleteSummary): string {
  const read = inUse.length === 0 ? '' : `; kept, being read: ${namesOf(inUse)}`;
  return `deleted ${namesOf(deleted)}: ${formatAmount(deletedObjects, 'object')}, ${formatBytes(deletedBytes)}${read}`;
}

function sweepNote({ deletedObjects, deletedBytes, shared, sharedProblem }: OrphanSummary): string {
  const left = `${formatAmount(deletedObjects, 'object')} that no manifest names, ${formatBytes(deletedBytes)}`;
  if (sharedProblem !== undefined) return `${left}; shared objects are left alone: ${sharedProblem}`;
  return `${left}; of shared objects ${formatCount(shared?.deletedObjects ?? 0)} deleted, ${formatCount(shared?.condemnedObjects ?? 0)} condemned`;
}

const NAMES_SHOWN = 10;

function namesOf(backups: readonly string[]): string {
  if (backups.length === 0) return 'none';
  const more = backups.length > NAMES_SHOWN ? ` and ${backups.length - NAMES_SHOWN} more` : '';
  return `${backups.slice(0, NAMES_SHOWN).join(', ')}${more}`;
}

function factsOf({ marks, deletions }: PruneOutcome): Readonly<Record<string, string>> {
  return {
    kept: formatCount(marks.kept),
    marked: formatCount(marks.marked.length),
    deleted: formatCount(deletions.deletedBackups),
    freed: formatBytes(deletions.deletedBytes),
    ...(marks.heldBack === undefined ? {} : { 'not dropped without approval': formatCount(marks.heldBack) }),
  };
}

function headlineOf({ plan, marks, deletions, orphans }: PruneOutcome): string {
  const { kept, marked, unmarked } = marks;
  const { deletedBackups, deletedBytes } = deletions;
  return (
    `${plan}: ${formatAmount(kept, 'backup')} kept, ${marked.length} marked, ${unmarked.length} unmarked, ` +
    `${formatCount(deletedBackups)} deleted (${formatBytes(deletedBytes)}), ` +
    `${formatCount(orphans.deletedObjects)} left-over objects swept${heldBackText(marks.heldBack)}`
  );
}
