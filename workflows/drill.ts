import { CancellationScope, isCancellation, patched } from '@temporalio/workflow';
import { formatAmount, formatDuration } from '../model/amounts.ts';
import type { ProofOutcome } from '../model/archive-proof.ts';
import type { BackupRef } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import type { DrillInput, DrillOutcome } from '../model/drill.ts';
import { kindOf } from '../model/engine-kind.ts';
import { worseOf } from '../model/verdict.ts';
import { proofText } from '../planning/archive/proofs.ts';
import { chooseForDrill } from '../planning/drill.ts';
import { activitiesFor, PATIENT_RETRY, patiently } from './activity-proxies.ts';
import { tellCatalogueChanged } from './catalogue-news.ts';
import { describeFailure } from './failures.ts';
import type { DrillStage } from './progress.ts';
import { type NotProved, proveArchive } from './prove.ts';
import { type RunEnd, RunFrame, stepsOf } from './run-frame.ts';
import { inTime, reportOf, scratchRequest } from './scratch-restore.ts';

const STAGES: readonly DrillStage[] = ['choose', 'rehearse', 'record', 'prove'];
const CHOOSING_PATIENCE_MS = 15 * 60_000;

/**
 * Tests a restore: chooses a backup, restores it into scratch databases, compares them with the manifest, runs the
 * plan's assertions, drops the databases, and records the verdict with the measured time in the ledger.
 *
 * - `OK`: everything agrees with the manifest and the assertions.
 * - `FAILED`: the backup is damaged, or an assertion got a wrong answer.
 * - `INCONCLUSIVE`: the drill could not find out (no backup, no server, no time).
 *
 * All three are results. The run itself fails only when it can't record its verdict.
 */
export async function drill(input: DrillInput): Promise<DrillOutcome> {
  const startedAt = new Date(Date.now()).toISOString();
  const frame = new RunFrame({
    title: `Drill of ${input.plan}`,
    steps: stepsOf(STAGES.filter((stage) => stage !== 'prove' || input.archive === true)),
    news: { kind: 'drill', plan: input.plan, labels: input.labels, ...defined({ notify: input.notify }) },
  });
  return frame.run({
    work: async () => withProof(await perform(input, startedAt, frame), await prove(input, frame)),
    end: endOf,
    failure: ({ message }, isCancelled) => ({
      headline: isCancelled ? `Drill of ${input.plan} was cancelled` : message,
    }),
  });
}

/** Proves the next stretch of the plan's archive of changes. Undefined where the plan has no archive. */
async function prove(input: DrillInput, frame: RunFrame): Promise<ProofOutcome | NotProved | undefined> {
  if (input.archive !== true) return undefined;
  return await frame.stage(
    'prove',
    () => proveArchive(input),
    (found) => ('reason' in found ? found.reason : [proofText(found), ...found.problems].join('; ')),
    (found) => {
      const isDone = 'reason' in found ? found.isUnknown !== true : found.verdict === 'OK';
      return isDone ? 'done' : 'failed';
    },
  );
}

function withProof(outcome: DrillOutcome, proof: ProofOutcome | NotProved | undefined): DrillOutcome {
  if (proof === undefined) return outcome;
  if ('reason' in proof) {
    if (proof.isUnknown !== true) return outcome;
    const problems = [...outcome.problems, `the archive could not be looked at: ${proof.reason}`];
    return { ...outcome, verdict: worseOf(outcome.verdict, 'INCONCLUSIVE'), problems };
  }
  const problem = `${proofText(proof)}: ${proof.problems.join('; ')}`;
  return {
    ...outcome,
    verdict: worseOf(outcome.verdict, proof.verdict),
    problems: proof.verdict === 'OK' ? outcome.problems : [...outcome.problems, problem],
    proof,
    finishedAt: new Date(Date.now()).toISOString(),
  };
}

async function perform(input: DrillInput, startedAt: string, frame: RunFrame): Promise<DrillOutcome> {
  const { plan, repository } = input;
  const choice = await frame.stage(
    'choose',
    async () => {
      const cleared = patched('leftovers') ? await clearLeftovers(input) : '';
      return { cleared, ...(await choose(input)) };
    },
    (chosen) => ('problem' in chosen ? chosen.problem : `${chosen.backup}${chosen.cleared}`),
    (chosen) => ('problem' in chosen ? 'failed' : 'done'),
  );
  if ('problem' in choice) {
    const finishedAt = new Date(Date.now()).toISOString();
    const problems = [choice.problem];
    return { plan, verdict: 'INCONCLUSIVE', problems, assertions: [], startedAt, finishedAt };
  }

  const ref: BackupRef = { repository, plan, backup: choice.backup };
  const { source, drill: spec } = input;
  const { check, indexCheckMs, connection, assertions, parallelism, timeoutMs, tolerate, owner } = spec;
  const { request, outcome, leftBehind } = await frame.stage(
    'rehearse',
    async () => {
      const wishes = {
        source,
        parallelism,
        check,
        assertions,
        ...defined({ indexCheckMs, connection, owner }),
      };
      const scratch = scratchRequest(ref, 'drill', tolerate === true ? { ...wishes, tolerate } : wishes);
      return { request: scratch, ...(await inTime(timeoutMs, scratch)) };
    },
    ({ outcome: { problems, notes = [] } }) => [...problems, ...notes].slice(0, 10).join('; '),
    ({ outcome: { verdict } }) => (verdict === 'OK' ? 'done' : 'failed'),
  );

  const report = await frame.stage('record', async () => {
    const made = reportOf(ref, { ...outcome, drill: outcome.drill ?? { assertions: [] } }, startedAt);
    await CancellationScope.nonCancellable(async () => {
      await patiently('verdict into the ledger').recordVerification({ ref, report: made });
      // This comes after the verdict, which must not wait for a server that is down. A universe's restore drops what it
      // can by itself; what it names as left needs a person.
      if (leftBehind && kindOf(source) === 'rows')
        await patiently('drop what the restore left').discardRestore({ request });
    });
    return made;
  });
  await tellCatalogueChanged(plan);
  const { verdict, problems, compared, notes, finishedAt, drill: record } = report;
  return {
    plan,
    backup: ref.backup,
    verdict,
    problems,
    ...defined({ compared, notes, restoreMs: record?.restoreMs }),
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
    // Replay gives the same random number, since the SDK seeds Math.random from the history.
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
  // An earlier version didn't look for leftovers in universes, so its histories have no such activity.
  if (kindOf(source) === 'tablets' && !patched('leftovers-of-universes')) return '';
  const activities = activitiesFor({
    summary: 'drop what terminated drills left',
    retry: PATIENT_RETRY,
    timeoutMs: CHOOSING_PATIENCE_MS,
  });
  try {
    const target = defined({ connection });
    const { cleared, problems } = await activities.clearRehearsals({ repository, plan, source, ...target });
    const left =
      problems.length === 0 ? '' : `; what others left could not be dropped: ${problems.join('; ')}`;
    return `${cleared.length === 0 ? '' : `; dropped what ${cleared.join(', ')} left`}${left}`;
  } catch (error) {
    if (isCancellation(error)) throw error;
    return `; what others may have left could not be looked at: ${describeFailure(error).message}`;
  }
}

function endOf(outcome: DrillOutcome): RunEnd {
  const { backup, verdict, restoreMs, problems } = outcome;
  const [problem] = problems;
  return {
    headline: headlineOf(outcome),
    verdict,
    ...defined({ backup }),
    ...(problem === undefined ? {} : { error: { code: `DRILL_${verdict}`, message: problem } }),
    facts: {
      verdict,
      ...defined({ backup }),
      ...(restoreMs === undefined ? {} : { 'restored in': formatDuration(restoreMs) }),
    },
  };
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
