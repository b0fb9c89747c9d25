import {
  ApplicationFailure,
  CancellationScope,
  isCancellation,
  patched,
  workflowInfo,
} from '@temporalio/workflow';
import { formatAmount, formatBytes } from '../model/amounts.ts';
import type { RestorePlan, RestoreRequest, RestoreSummary, Verdict } from '../model/backup.ts';
import { TASKS_PER_SHARD } from '../model/backup.ts';
import type { Assertion, AssertionResult, DrillRecord } from '../model/drill.ts';
import { describeRows } from '../model/rows.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { Board } from './board.ts';
import { describeFailure } from './failures.ts';
import { type RestoreLeftovers, reportPace, type TransferInput } from './messages.ts';
import type { RestoreStage } from './progress.ts';
import { Reporter } from './reporter.ts';
import { restoreUniverse } from './restore-universe.ts';
import { saveWhatIsThere } from './safety-backup.ts';
import { inLanes } from './scopes.ts';
import { moveShard, postDataSummary } from './transfer.ts';
import { Turn } from './turn.ts';

const DAY_MS = 24 * 3_600_000;
const STAGES: readonly RestoreStage[] = ['plan', 'prepare', 'load', 'post-data', 'finish', 'assert'];
const OVERWRITING_STAGES: readonly RestoreStage[] = ['plan', 'turn', 'safety', ...STAGES.slice(1)];

/**
 * Restores one backup: plan (everything that can be refused is refused here), prepare (databases and pre-data), load
 * (chunks in parallel; VACUUM, keys and indexes of tables that are complete), post-data (what is left of it, wave by wave), finish (sequences, ANALYZE,
 * comparison with the manifest). One that overwrites is alone at its target from its turn on, and saves first what is there. What an
 * unfinished restore created is dropped again.
 */
export async function restore({ safetyBackup, ...request }: RestoreRequest): Promise<RestoreSummary> {
  if (request.source.engine === 'universe') return restoreUniverse(request, request.source, safetyBackup);
  const startedAtMs = Date.now();
  const { assertions = [] } = request;
  const isGoverned = !request.scratch && patched('turns');
  const overwrites = isGoverned && (request.replace || request.contents === 'data');
  const stages = (overwrites ? OVERWRITING_STAGES : STAGES).filter(
    (id) => id !== 'assert' || assertions.length > 0,
  );
  const board = new Board(`Restore ${request.restore} of ${request.from.backup}`, stages.map(asStep));
  const turn = overwrites ? turnOf(request, board) : undefined;
  const report = isGoverned
    ? new Reporter(request.from.plan, { kind: 'restore', id: request.restore, overwrites })
    : undefined;
  board.onMilestone = (headline) => report?.running(headline);
  let isWriting = false;
  const stage = async <T>(id: RestoreStage, work: () => Promise<T>): Promise<T> => {
    board.start(id);
    try {
      const result = await work();
      board.end(id, 'done');
      return result;
    } catch (error) {
      board.end(id, isCancellation(error) ? 'cancelled' : 'failed', describeFailure(error).message);
      throw error;
    }
  };

  try {
    const plan = await stage('plan', () => look(request));
    const names = plan.databases.map(({ from, to }) => `${from} → ${to}`).join(', ');
    const lacks = (plan.lacks ?? []).map((lack) => `; ${lack}`).join('');
    board.note('plan', {
      note: `${names}: ${formatAmount(plan.rows, 'row')}, ${formatBytes(plan.storedBytes)} to fetch${lacks}`,
    });
    if (turn !== undefined) {
      await stage('turn', () => turn.take());
      await stage('safety', () => saveWhatIsThere(safetyBackup, board));
    }
    isWriting = true;
    await stage('prepare', () => call('create databases, pre-data').prepareRestore({ request }));
    await stage('load', () => loadAll(request, plan, board));
    await stage('post-data', () => applyPostData(request, plan));
    const compared = await stage('finish', () =>
      call('sequences, ANALYZE, compare').finishRestore({ request }),
    );
    const restoreMs = Date.now() - startedAtMs;
    const results = assertions.length > 0 ? await stage('assert', () => askAll(request, assertions)) : [];
    const summary =
      request.assertions === undefined ? compared : withAnswers(compared, { restoreMs, assertions: results });
    if (request.scratch) await call('drop what this restore created').discardRestore({ request });
    else if (summary.verdict === 'FAILED' && request.tolerate !== true) throw differs(summary);
    else if (summary.verdict === 'FAILED') await call('remove the bookkeeping').releaseRestore({ request });
    const headline = headlineOf(summary);
    board.conclude(summary.verdict === 'OK' ? 'done' : 'failed', headline);
    const { bytes, rows, verdict } = summary;
    const result = { bytes, rows, verdict };
    await report?.ended({ state: verdict === 'FAILED' ? 'failed' : 'done', headline, result });
    return turn === undefined || safetyBackup === undefined
      ? summary
      : { ...summary, safetyBackup: safetyBackup.backup };
  } catch (error) {
    const failure = describeFailure(error);
    const { isGone, sentence, stands } = await CancellationScope.nonCancellable(() =>
      discardAfterFailure(request),
    );
    const leftovers: RestoreLeftovers = { leftBehind: isWriting && !isGone };
    // A rehearsal's caller drops what is left; a cancellation carries no details that would tell it.
    const mustTell = request.scratch && leftovers.leftBehind;
    if (isCancellation(error) && !mustTell) {
      const headline = `Restore ${request.restore} was cancelled. ${sentence}`;
      board.conclude('cancelled', headline);
      await report?.ended({ state: 'cancelled', headline });
      throw error;
    }
    const headline = `Restore ${request.restore} FAILED: ${failure.message} ${sentence}`;
    board.conclude('failed', headline);
    await report?.ended({ state: 'failed', headline });
    throw ApplicationFailure.create({
      type: failure.code,
      message: stands ? `${failure.message} ${sentence}` : failure.message,
      nonRetryable: true,
      details: [leftovers],
      ...(error instanceof Error ? { cause: error } : {}),
    });
  } finally {
    await turn?.end();
  }
}

function turnOf(request: RestoreRequest, board: Board): Turn {
  const { restore: id, from, source, connection } = request;
  return new Turn({
    source: connection === undefined || source.engine === 'universe' ? source : { ...source, connection },
    mode: 'alone',
    title: `overwriting restore ${id} of ${from.plan} from ${from.backup}`,
    onWait: (gate) =>
      board.note('turn', { note: `waits for backups and restores of the same source (${gate})` }),
  });
}

/** A rehearsal is not waited for: where its server is away, it proves nothing. */
const REHEARSAL_PATIENCE_MS = 15 * 60_000;

function look(request: RestoreRequest): Promise<RestorePlan> {
  return activitiesFor({
    summary: 'check source, target and backup',
    retry: PATIENT_RETRY,
    timeoutMs: request.scratch ? REHEARSAL_PATIENCE_MS : DAY_MS,
  }).planRestore({ request });
}

async function loadAll(request: RestoreRequest, plan: RestorePlan, board: Board): Promise<void> {
  board.beginTransfer('load', { tasks: plan.tasks, bytes: plan.bytes });
  if (plan.tableUnits !== undefined)
    board.note('load', { note: 'keys and indexes of a table follow its rows at once' });
  for (const [shard, { firstTask, tasks }] of loadShards(plan).entries()) {
    const input: TransferInput = {
      direction: 'load',
      request,
      firstTask,
      tasks,
      ...reportPace(plan.tasks),
      ...(plan.tableUnits === undefined
        ? {}
        : { postData: { waves: plan.postDataWaves, units: plan.tableUnits } }),
      options: { parallelism: request.parallelism, retry: PATIENT_RETRY, timeoutMs: DAY_MS },
    };
    await moveShard(input, board, {
      workflowId: `${workflowInfo().workflowId}:load:${shard}`,
      staticSummary: `load ${tasks} chunks from ${firstTask + 1} of ${plan.tasks}`,
    });
  }
}

/** One after another: the groups that must follow each other, cut into shards. */
function loadShards({
  tasks,
  loadGroups = [tasks],
}: RestorePlan): readonly { readonly firstTask: number; readonly tasks: number }[] {
  const shards: { firstTask: number; tasks: number }[] = [];
  let firstTask = 0;
  for (const size of loadGroups) {
    const end = firstTask + size;
    for (; firstTask < end; firstTask += TASKS_PER_SHARD) {
      shards.push({ firstTask, tasks: Math.min(TASKS_PER_SHARD, end - firstTask) });
    }
    firstTask = end;
  }
  return shards;
}

/** The waves that were not applied while the tables were being loaded. */
async function applyPostData(request: RestoreRequest, plan: RestorePlan): Promise<void> {
  const applied = Math.max(0, ...(plan.tableUnits ?? []).map(({ wave }) => wave + 1));
  for (const [wave, units] of plan.postDataWaves.entries()) {
    if (wave < applied) continue;
    await inLanes(units, request.parallelism, (unit) =>
      call(postDataSummary(wave, unit)).postData({ request, wave, unit, units }),
    );
  }
}

/** One after another, so that the copy's server is asked one thing at a time. */
async function askAll(
  request: RestoreRequest,
  assertions: readonly Assertion[],
): Promise<readonly AssertionResult[]> {
  const results: AssertionResult[] = [];
  for (const [assertion, { name }] of assertions.entries()) {
    const activities = activitiesFor({
      summary: `assertion: ${name}`.slice(0, 200),
      retry: { ...PATIENT_RETRY, maximumAttempts: 10 },
      timeoutMs: DAY_MS,
    });
    try {
      results.push(await activities.ask({ request, assertion }));
    } catch (error) {
      if (isCancellation(error)) throw error;
      results.push({ name, verdict: 'INCONCLUSIVE', problem: describeFailure(error).message });
    }
  }
  return results;
}

function withAnswers(summary: RestoreSummary, drill: DrillRecord): RestoreSummary {
  const wrong = drill.assertions.filter(({ verdict }) => verdict !== 'OK');
  return {
    ...summary,
    verdict: worstOf([summary.verdict, ...wrong.map(({ verdict }) => verdict)]),
    problems: [
      ...summary.problems,
      ...wrong.map(
        ({ name, verdict, problem }) => `assertion "${name}" ${verdict}: ${problem ?? 'no answer'}`,
      ),
    ],
    drill,
  };
}

function worstOf(verdicts: readonly Verdict[]): Verdict {
  if (verdicts.includes('FAILED')) return 'FAILED';
  return verdicts.includes('INCONCLUSIVE') ? 'INCONCLUSIVE' : 'OK';
}

async function discardAfterFailure(
  request: RestoreRequest,
): Promise<{ readonly isGone: boolean; readonly sentence: string; readonly stands: boolean }> {
  try {
    const discarded = await activitiesFor({
      summary: 'drop what this restore created',
      retry: { ...PATIENT_RETRY, maximumAttempts: 5 },
      timeoutMs: 10 * 60_000,
    }).discardRestore({ request });
    const stands = discarded?.stands ?? [];
    if (stands.length > 0) return { isGone: true, sentence: stands.join(' '), stands: true };
    return { isGone: true, sentence: 'What it had created was dropped.', stands: false };
  } catch (error) {
    // The server may be what failed; the run's own error stands, and this one is told beside it.
    return {
      isGone: false,
      stands: false,
      sentence: `What it had created could not be dropped: ${describeFailure(error).message}`,
    };
  }
}

function call(summary: string) {
  return activitiesFor({ summary, retry: PATIENT_RETRY, timeoutMs: DAY_MS });
}

function asStep(stage: RestoreStage) {
  return { id: stage, verb: stage };
}

function differs(summary: RestoreSummary): ApplicationFailure {
  return ApplicationFailure.nonRetryable(
    `the restored data differs from the backup: ${summary.problems.slice(0, 5).join('; ')}`,
    'RESTORE_DIFFERS',
  );
}

function headlineOf(summary: RestoreSummary): string {
  const names = summary.databases.map(({ to }) => to).join(', ');
  return (
    `Backup ${summary.backup} is restored into ${names}: ${describeRows(summary)} in ` +
    `${formatAmount(summary.tables, 'table')}; comparison with the manifest: ${summary.verdict}${summary.compared === undefined ? '' : ` (${summary.compared})`}${leftOutClause(summary)}` +
    (summary.notes === undefined ? '' : `. ${summary.notes.slice(0, 3).join(' ')}`)
  );
}

function leftOutClause({ leftOut = [], leftOutMore = 0 }: RestoreSummary): string {
  const [first] = leftOut;
  if (first === undefined) return '';
  const count = formatAmount(leftOut.length + leftOutMore, 'object');
  return `; ${count} left out, the first: ${first.kind} ${first.name}`;
}
