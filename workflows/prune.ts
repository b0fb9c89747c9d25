import {
  ApplicationFailure,
  CancellationScope,
  isCancellation,
  log,
  workflowInfo,
} from '@temporalio/workflow';
import { formatAmount, formatBytes, formatCount } from '../model/amounts.ts';
import type { DeleteSummary, MarkSummary, OrphanSummary, PruneInput, PruneOutcome } from '../model/prune.ts';
import { hasOwnCredentials } from '../planning/prune.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { Board } from './board.ts';
import { tellCatalogueChanged } from './catalogue-news.ts';
import { describeFailure } from './failures.ts';
import { pruneQueue } from './messages.ts';
import type { PruneStage } from './progress.ts';

const DAY_MS = 24 * 3_600_000;
const STAGES: readonly PruneStage[] = ['mark', 'delete', 'sweep'];

/**
 * Retention of one plan: mark what no rule keeps; delete what was marked a grace time ago and still isn't kept; sweep what
 * interrupted backups left. Each stage decides anew by what the repository holds, and a stage that dies is begun again.
 */
export async function prune(input: PruneInput): Promise<PruneOutcome> {
  const startedAtMs = Date.now();
  const board = new Board(
    `Retention of ${input.plan}`,
    STAGES.map((stage) => ({ id: stage, verb: stage })),
  );
  const stage = async <T>(id: PruneStage, run: () => Promise<T>, note: (result: T) => string): Promise<T> => {
    board.start(id);
    try {
      const result = await run();
      board.end(id, 'done', note(result));
      return result;
    } catch (error) {
      board.end(id, isCancellation(error) ? 'cancelled' : 'failed', describeFailure(error).message);
      throw error;
    }
  };
  try {
    const marks = await stage(
      'mark',
      () => call(input, 'mark what no rule keeps').markBackups(input),
      markNote,
    );
    const deletions = await stage(
      'delete',
      () => (marks.due === 0 ? Promise.resolve(NOTHING_DELETED) : call(input, 'delete').deleteBackups(input)),
      deleteNote,
    );
    const orphans = await stage('sweep', () => call(input, 'sweep').sweepOrphans(input), sweepNote);
    board.conclude('done', headlineOf(input, marks, deletions, orphans));
    await tellCatalogueChanged(input.plan);
    return { plan: input.plan, marks, deletions, orphans, durationMs: Date.now() - startedAtMs };
  } catch (error) {
    const failure = describeFailure(error);
    board.conclude(isCancellation(error) ? 'cancelled' : 'failed', failure.message);
    if (isCancellation(error)) throw error;
    throw ApplicationFailure.nonRetryable(failure.message, failure.code);
  } finally {
    await CancellationScope.nonCancellable(() => endPrune(input));
  }
}

const NOTHING_DELETED: DeleteSummary = {
  deleted: [],
  deletedBackups: 0,
  deletedObjects: 0,
  deletedBytes: 0,
  inUse: [],
};

/** Gives the lease back. If that fails, the prune doesn't: the lease runs out by itself. */
async function endPrune(input: PruneInput): Promise<void> {
  try {
    await activitiesFor({
      ...queueFor(input),
      summary: 'let the next prune begin',
      retry: { ...PATIENT_RETRY, maximumAttempts: 3 },
      timeoutMs: 60_000,
    }).endPrune(input);
  } catch (error) {
    log.warn('the lease of this prune ends by itself', { reason: describeFailure(error).message });
  }
}

function call(input: PruneInput, summary: string) {
  return activitiesFor({ ...queueFor(input), summary, retry: PATIENT_RETRY, timeoutMs: DAY_MS });
}

/** The task queue of a prune: with credentials of its own, that of the worker that has them. */
function queueFor({ repository }: PruneInput): { readonly taskQueue?: string } {
  return hasOwnCredentials(repository) ? { taskQueue: pruneQueue(workflowInfo().taskQueue) } : {};
}

function markNote({ backups, kept, marked, unmarked, waiting, nextDeletion, due }: MarkSummary): string {
  const next = nextDeletion === undefined ? '' : `, the next after ${nextDeletion}`;
  return (
    `${formatAmount(backups, 'backup')}, ${formatCount(kept)} kept; marked ${namesOf(marked)}; ` +
    `unmarked ${namesOf(unmarked)}; ${waiting} within their grace time${next}; ${due} to delete now`
  );
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

function headlineOf(
  { plan }: PruneInput,
  { kept, marked, unmarked }: MarkSummary,
  { deletedBackups, deletedBytes }: DeleteSummary,
  orphans: OrphanSummary,
): string {
  return (
    `${plan}: ${formatAmount(kept, 'backup')} kept, ${marked.length} marked, ${unmarked.length} unmarked, ` +
    `${formatCount(deletedBackups)} deleted (${formatBytes(deletedBytes)}), ` +
    `${formatCount(orphans.deletedObjects)} left-over objects swept`
  );
}
