import { ApplicationFailure, CancellationScope, isCancellation, patched } from '@temporalio/workflow';
import { formatAmount } from '../model/amounts.ts';
import type { BackupRef, RestoreRequest } from '../model/backup.ts';
import type { DrillInput, DrillOutcome } from '../model/drill.ts';
import { chooseForDrill } from '../planning/drill.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { Board } from './board.ts';
import { tellCatalogueChanged } from './catalogue-news.ts';
import { describeFailure } from './failures.ts';
import { tell } from './notify.ts';
import { formatDuration } from './progress.ts';
import { type RehearsalOutcome, reportOf, restoreScratch, scratchRequest } from './rehearsal.ts';
import { withDeadline } from './scopes.ts';

const DAY_MS = 24 * 3_600_000;
const CHOOSING_PATIENCE_MS = 15 * 60_000;

/**
 * Rehearses a restore: chooses a backup, restores it into scratch databases, compares them with the manifest, asks the
 * plan's assertions, drops them, and puts the verdict with the measured time into the ledger.
 *
 * - `OK`: everything is as the manifest and the assertions say.
 * - `FAILED`: the backup is damaged, or an answer is wrong.
 * - `INCONCLUSIVE`: it could not be found out (no backup, no server, no time).
 *
 * All three are results; the run itself fails only when its verdict can't be recorded.
 */
export async function drill(input: DrillInput): Promise<DrillOutcome> {
  const startedAt = new Date(Date.now()).toISOString();
  const board = new Board(`Drill of ${input.plan}`, [
    { id: 'choose', verb: 'choose' },
    { id: 'rehearse', verb: 'rehearse' },
    { id: 'record', verb: 'record' },
  ]);
  try {
    const outcome = await perform(input, startedAt, board);
    board.conclude(outcome.verdict === 'OK' ? 'done' : 'failed', headlineOf(outcome));
    await tellOf(input, outcome);
    return outcome;
  } catch (error) {
    const failure = describeFailure(error);
    if (isCancellation(error)) {
      board.conclude('cancelled', `Drill of ${input.plan} was cancelled`);
      throw error;
    }
    board.conclude('failed', failure.message);
    throw ApplicationFailure.nonRetryable(failure.message, failure.code);
  }
}

async function perform(input: DrillInput, startedAt: string, board: Board): Promise<DrillOutcome> {
  const { plan, repository } = input;
  board.start('choose');
  const cleared = patched('leftovers') ? await clearLeftovers(input) : '';
  const choice = await choose(input);
  if ('problem' in choice) {
    board.end('choose', 'failed', choice.problem);
    const finishedAt = new Date(Date.now()).toISOString();
    const problems = [choice.problem];
    return { plan, verdict: 'INCONCLUSIVE', problems, assertions: [], startedAt, finishedAt };
  }
  board.end('choose', 'done', `${choice.backup}${cleared}`);

  board.start('rehearse');
  const ref: BackupRef = { repository, plan, backup: choice.backup };
  const { source, drill: spec } = input;
  const { check, indexCheckMs, connection, assertions, parallelism, timeoutMs, tolerate } = spec;
  const request = scratchRequest(ref, 'drill', {
    source,
    parallelism,
    check,
    assertions,
    ...(indexCheckMs === undefined ? {} : { indexCheckMs }),
    ...(connection === undefined ? {} : { connection }),
    ...(tolerate === true ? { tolerate } : {}),
  });
  const { outcome, leftBehind } = await inTime(timeoutMs, request);
  board.end(
    'rehearse',
    outcome.verdict === 'OK' ? 'done' : 'failed',
    [...outcome.problems, ...(outcome.notes ?? [])].slice(0, 10).join('; '),
  );

  board.start('record');
  const report = reportOf(ref, { ...outcome, drill: outcome.drill ?? { assertions: [] } }, startedAt);
  await CancellationScope.nonCancellable(async () => {
    await patiently('verdict into the ledger').recordVerification({ ref, report });
    // Done last: the verdict must not wait for a server that is down.
    if (leftBehind && source.engine !== 'universe')
      await patiently('drop what the rehearsal left').discardRestore({ request });
  });
  board.end('record', 'done');
  await tellCatalogueChanged(plan);
  const { verdict, problems, compared, notes, finishedAt, drill: record } = report;
  return {
    plan,
    backup: ref.backup,
    verdict,
    problems,
    ...(compared === undefined ? {} : { compared }),
    ...(notes === undefined ? {} : { notes }),
    ...(record?.restoreMs === undefined ? {} : { restoreMs: record.restoreMs }),
    assertions: record?.assertions ?? [],
    startedAt,
    finishedAt,
  };
}

async function choose(
  input: DrillInput,
): Promise<{ readonly backup: string } | { readonly problem: string }> {
  if (input.backup !== undefined) return { backup: input.backup };
  const { repository, plan, drill: spec } = input;
  const activities = activitiesFor({
    summary: 'which backups there are',
    retry: PATIENT_RETRY,
    timeoutMs: CHOOSING_PATIENCE_MS,
  });
  try {
    const catalogue = await activities.catalogue({ repository, plan });
    // In a workflow Math.random gives the same at every replay.
    const chosen = chooseForDrill(catalogue, spec.backup, Math.random());
    return chosen ?? { problem: `the repository ${repository.name} holds no backup of ${plan}` };
  } catch (error) {
    if (isCancellation(error)) throw error;
    return { problem: describeFailure(error).message };
  }
}

/** Drops what terminated drills left. If that fails, the drill reports it and goes on. */
async function clearLeftovers({
  repository,
  plan,
  source,
  drill: { connection },
}: DrillInput): Promise<string> {
  if (source.engine === 'universe' && !patched('leftovers-of-universes')) return '';
  const activities = activitiesFor({
    summary: 'drop what terminated drills left',
    retry: PATIENT_RETRY,
    timeoutMs: CHOOSING_PATIENCE_MS,
  });
  try {
    const target = connection === undefined ? {} : { connection };
    const { cleared, problems } = await activities.clearRehearsals({ repository, plan, source, ...target });
    const left =
      problems.length === 0 ? '' : `; what others left could not be dropped: ${problems.join('; ')}`;
    return `${cleared.length === 0 ? '' : `; dropped what ${cleared.join(', ')} left`}${left}`;
  } catch (error) {
    if (isCancellation(error)) throw error;
    return `; what others may have left could not be looked at: ${describeFailure(error).message}`;
  }
}

/** Gives up a rehearsal after its time limit, and drops what it created. */
async function inTime(
  timeoutMs: number,
  request: RestoreRequest,
): Promise<{ readonly outcome: RehearsalOutcome; readonly leftBehind: boolean }> {
  const late = `it did not end within ${formatDuration(timeoutMs)}; give \`drill\` a longer \`timeout\` in the plan`;
  const deadline = {
    afterMs: timeoutMs,
    summary: 'timeout of the drill',
    late: () => ApplicationFailure.nonRetryable(late, 'DRILL_TIMED_OUT'),
  };
  try {
    return await withDeadline(deadline, () => restoreScratch(request));
  } catch (error) {
    if (isCancellation(error)) throw error;
    const { message } = describeFailure(error);
    return {
      outcome: { verdict: 'INCONCLUSIVE', tables: 0, bytes: 0, problems: [message] },
      // The restore drops what it created when it is cancelled, and fails where it can't.
      leftBehind: false,
    };
  }
}

function patiently(summary: string) {
  return activitiesFor({ summary, retry: PATIENT_RETRY, timeoutMs: DAY_MS });
}

function headlineOf(outcome: DrillOutcome): string {
  const { plan, backup, verdict, problems, restoreMs, assertions } = outcome;
  const what = backup === undefined ? `Drill of ${plan}` : `Drill of ${plan} with ${backup}`;
  if (verdict !== 'OK') return `${what}: ${verdict}. ${problems.slice(0, 3).join('; ')}`;
  const time = restoreMs === undefined ? '' : `, restored in ${formatDuration(restoreMs)}`;
  const compared = outcome.compared === undefined ? '' : ` (${outcome.compared})`;
  const [note] = outcome.notes ?? [];
  const said = note === undefined ? '' : `; ${note}`;
  if (assertions.length === 0) return `${what}: OK${compared}${time}${said}`;
  return `${what}: OK${compared}${time}, ${formatAmount(assertions.length, 'assertion')} hold${said}`;
}

async function tellOf({ notify, labels }: DrillInput, outcome: DrillOutcome): Promise<void> {
  const { plan, backup, verdict, restoreMs, problems } = outcome;
  const [problem] = problems;
  await tell(notify, 'drill', {
    event: 'drill',
    plan,
    labels,
    ok: verdict === 'OK',
    headline: headlineOf(outcome),
    ...(backup === undefined ? {} : { backup }),
    ...(problem === undefined ? {} : { error: { code: `DRILL_${verdict}`, message: problem } }),
    facts: {
      verdict,
      ...(backup === undefined ? {} : { backup }),
      ...(restoreMs === undefined ? {} : { 'restored in': formatDuration(restoreMs) }),
    },
  });
}
