import { ApplicationFailure, isCancellation, patched, workflowInfo } from '@temporalio/workflow';
import { formatAmount, formatBytes } from '../model/amounts.ts';
import type { RestorePlan, RestoreRequest, RestoreSummary, Verdict } from '../model/backup.ts';
import { TASKS_PER_BATCH } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import type { Assertion, AssertionResult, DrillRecord } from '../model/drill.ts';
import { movesTablets } from '../model/engine-kind.ts';
import type { LogicalSource } from '../model/pipeline.ts';
import type { ReplayReport } from '../model/replay.ts';
import { describeRows } from '../model/rows.ts';
import { DAY_MS } from '../model/time.ts';
import { activitiesFor, lengthily, PATIENT_RETRY, patiently } from './activity-proxies.ts';
import { describeFailure } from './failures.ts';
import { type RestoreLeftovers, reportPace, type TransferInput } from './messages.ts';
import type { RestoreStage } from './progress.ts';
import { restoreUniverse } from './restore-universe.ts';
import { RunFrame, type RunWish, stepsOf } from './run-frame.ts';
import { restoreFacts } from './run-news.ts';
import type { RunProgress } from './run-progress.ts';
import { saveWhatIsThere } from './safety-backup.ts';
import { inParallel } from './scopes.ts';
import { moveBatch, postDataSummary } from './transfer.ts';

const STAGES: readonly RestoreStage[] = [
  'plan',
  'prepare',
  'load',
  'post-data',
  'replay',
  'finish',
  'assert',
];
const OVERWRITING_STAGES: readonly RestoreStage[] = ['plan', 'turn', 'safety', ...STAGES.slice(1)];

/**
 * Restores one backup in stages. plan: refuses everything that can be refused. prepare: creates databases and pre-data. load: loads chunks in parallel,
 * and vacuums and indexes tables that are complete. post-data: applies the rest, wave by wave. finish: sequences, ANALYZE, comparison with the
 * manifest. A restore that overwrites is alone on its target from its stage `turn` on, and first backs up what is there. A restore that doesn't finish
 * drops what it created.
 */
export async function restore({
  safetyBackup,
  notify,
  labels,
  ...asked
}: RestoreRequest): Promise<RestoreSummary> {
  const { plan: planName, backup } = asked.from;
  const news = { kind: 'restore', plan: planName, backup, ...defined({ notify, labels }) } as const;
  // A universe is restored otherwise: files are put in place on every node, and then the universe itself restores.
  if (movesTablets(asked.source)) return restoreUniverse(asked, asked.source, safetyBackup, news);
  let request: RestoreRequest = asked;
  const startedAtMs = Date.now();
  const { assertions = [] } = request;
  const isGoverned = !request.scratch && patched('turns');
  const overwrites = isGoverned && (request.replace || request.contents === 'data');
  const { replay } = request;
  const replays = replay !== undefined && patched('replay');
  const stages = (overwrites ? OVERWRITING_STAGES : STAGES).filter(
    (id) => (id !== 'assert' || assertions.length > 0) && (id !== 'replay' || replays),
  );
  const frame = new RunFrame({
    title: `Restore ${request.restore} of ${request.from.backup}`,
    steps: stepsOf(stages),
    news,
    ...defined({
      lease: overwrites ? leaseOf(request, asked.source) : undefined,
      report: isGoverned
        ? { plan: request.from.plan, kind: 'restore' as const, id: request.restore, overwrites }
        : undefined,
    }),
  });
  const { progress } = frame;
  let isWriting = false;
  let saved: string | undefined;
  let discarded: Discarded | undefined;

  const work = async (): Promise<RestoreSummary> => {
    const plan = await frame.stage('plan', () => look(request), describePlan);
    request = { ...request, ...defined({ owner: request.owner ?? plan.owner }) };
    if (overwrites) {
      await frame.stage('turn', () => frame.takeLease());
      saved = await frame.stage('safety', () => saveWhatIsThere(safetyBackup, progress));
    }
    isWriting = true;
    await frame.stage('prepare', () => patiently('create databases, pre-data').prepareRestore({ request }));
    await frame.stage('load', () => loadAll(request, plan, progress));
    await frame.stage('post-data', () => applyPostData(request, plan));
    if (replays) {
      await frame.stage('replay', () => replayAll(request, Object.keys(replay.timelines)), describeReplays);
    }
    const compared = await frame.stage('finish', () =>
      lengthily('sequences, ANALYZE, compare').finishRestore({ request }),
    );
    const restoreMs = Date.now() - startedAtMs;
    const results =
      assertions.length > 0 ? await frame.stage('assert', () => askAll(request, assertions)) : [];
    const summary =
      request.assertions === undefined ? compared : withAnswers(compared, { restoreMs, assertions: results });
    if (request.scratch) await patiently('drop what this restore created').discardRestore({ request });
    else if (summary.verdict === 'FAILED' && request.tolerate !== true) throw differs(summary);
    else if (summary.verdict === 'FAILED')
      await patiently('remove the bookkeeping').releaseRestore({ request });
    return summary;
  };

  const summary = await frame.run({
    work,
    end: (result) => {
      const { bytes, rows, verdict } = result;
      return {
        headline: headlineOf(result),
        verdict,
        figures: { bytes, rows, verdict },
        facts: restoreFacts(result),
      };
    },
    undo: async () => {
      discarded = await discardAfterFailure(request, isWriting);
    },
    failure: ({ message }, isCancelled) => {
      const { isGone = false, stands = false, sentence = '' } = discarded ?? {};
      const leftovers: RestoreLeftovers = { leftBehind: isWriting && !isGone };
      // The caller of a scratch restore drops what is left. A cancellation can't tell it to, since it carries no details.
      const mustFail = request.scratch && leftovers.leftBehind;
      return {
        headline:
          isCancelled && !mustFail
            ? `Restore ${request.restore} was cancelled. ${sentence}`
            : `Restore ${request.restore} FAILED: ${message} ${sentence}`,
        message: stands ? `${message} ${sentence}` : message,
        details: [leftovers],
        mustFail,
      };
    },
  });
  return saved === undefined ? summary : { ...summary, safetyBackup: saved };
}

function leaseOf(request: RestoreRequest, source: LogicalSource): RunWish['lease'] {
  const { restore: id, from, connection } = request;
  return {
    source: connection === undefined ? source : { ...source, connection },
    mode: 'alone',
    title: `overwriting restore ${id} of ${from.plan} from ${from.backup}`,
    waitsFor: 'backups and restores of the same source',
  };
}

function describePlan({ databases, rows, storedBytes, lacks = [] }: RestorePlan): string {
  const names = databases.map(({ from, to }) => `${from} → ${to}`).join(', ');
  const missing = lacks.map((lack) => `; ${lack}`).join('');
  return `${names}: ${formatAmount(rows, 'row')}, ${formatBytes(storedBytes)} to fetch${missing}`;
}

/** A scratch restore doesn't wait longer for a server that is down, since its verdict would be about the server. */
const SCRATCH_PATIENCE_MS = 15 * 60_000;

function look(request: RestoreRequest): Promise<RestorePlan> {
  return activitiesFor({
    summary: 'check source, target and backup',
    retry: PATIENT_RETRY,
    timeoutMs: request.scratch ? SCRATCH_PATIENCE_MS : DAY_MS,
  }).planRestore({ request });
}

async function loadAll(request: RestoreRequest, plan: RestorePlan, progress: RunProgress): Promise<void> {
  progress.beginTransfer('load', { tasks: plan.tasks, bytes: plan.bytes });
  if (plan.tableUnits !== undefined)
    progress.note('load', { note: 'keys and indexes of a table follow its rows at once' });
  for (const [batch, { firstTask, tasks }] of loadBatches(plan).entries()) {
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
    await moveBatch(input, progress, {
      workflowId: `${workflowInfo().workflowId}:load:${batch}`,
      staticSummary: `load ${tasks} chunks from ${firstTask + 1} of ${plan.tasks}`,
    });
  }
}

/** The batches in order. Groups run one after another, and each is cut into batches. */
function loadBatches({
  tasks,
  loadGroups = [tasks],
}: RestorePlan): readonly { readonly firstTask: number; readonly tasks: number }[] {
  const batches: { firstTask: number; tasks: number }[] = [];
  let firstTask = 0;
  for (const size of loadGroups) {
    const end = firstTask + size;
    for (; firstTask < end; firstTask += TASKS_PER_BATCH) {
      batches.push({ firstTask, tasks: Math.min(TASKS_PER_BATCH, end - firstTask) });
    }
    firstTask = end;
  }
  return batches;
}

/** Applies the waves that were not applied while the tables were being loaded. */
async function applyPostData(request: RestoreRequest, plan: RestorePlan): Promise<void> {
  const applied = Math.max(0, ...(plan.tableUnits ?? []).map(({ wave }) => wave + 1));
  for (const [wave, units] of plan.postDataWaves.entries()) {
    if (wave < applied) continue;
    await inParallel(units, request.parallelism, (unit) =>
      lengthily(postDataSummary(wave, unit)).postData({ request, wave, unit, units }),
    );
  }
}

/** Replays the archive into one database after another. A retry goes on where the attempt before it stopped. */
async function replayAll(
  request: RestoreRequest,
  databases: readonly string[],
): Promise<readonly ReplayReport[]> {
  const reports: ReplayReport[] = [];
  for (const database of databases) {
    reports.push(await lengthily(`replay the archive into ${database}`).replay({ request, database }));
  }
  return reports;
}

function describeReplays(reports: readonly ReplayReport[]): string {
  return reports
    .map(
      ({ database, transactions, lastTaken, firstLeftOut }) =>
        `${database}: ${formatAmount(transactions, 'transaction')}; last in: ${lastTaken ?? 'none'}; first left out: ${firstLeftOut ?? 'none'}`,
    )
    .join('. ');
}

/** Asks the assertions one after another, so that the copy's server gets one question at a time. */
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

/** How the clean-up after a failed restore ended. */
interface Discarded {
  readonly isGone: boolean;
  readonly sentence: string;
  /** True: the restore failed after it was complete, so what it created stays. */
  readonly stands: boolean;
}

/** @param isWriting false: the restore was refused before it made anything, so only its pin on the backup is removed */
async function discardAfterFailure(request: RestoreRequest, isWriting: boolean): Promise<Discarded> {
  try {
    const discarded = await activitiesFor({
      summary: isWriting ? 'drop what this restore created' : 'let go of the backup',
      retry: { ...PATIENT_RETRY, maximumAttempts: 5 },
      timeoutMs: 10 * 60_000,
    }).discardRestore({ request });
    const stands = discarded?.stands ?? [];
    if (stands.length > 0) return { isGone: true, sentence: stands.join(' '), stands: true };
    const sentence = isWriting ? 'What it had created was dropped.' : 'Nothing had been made.';
    return { isGone: true, sentence, stands: false };
  } catch (error) {
    // The server itself may have failed. The run reports its first error, and this one beside it.
    return {
      isGone: false,
      stands: false,
      sentence: isWriting
        ? `What it had created could not be dropped: ${describeFailure(error).message}`
        : `Nothing had been made. Its pin on the backup stays until it expires: ${describeFailure(error).message}`,
    };
  }
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
