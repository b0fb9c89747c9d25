import { CancellationScope, isCancellation } from '@temporalio/workflow';
import { isoOfMicros } from '../model/archive.ts';
import type { ProofOutcome, ProofWish } from '../model/archive-proof.ts';
import { defined } from '../model/defined.ts';
import type { DrillInput } from '../model/drill.ts';
import type { Verdict } from '../model/verdict.ts';
import { refutes } from '../planning/archive/proofs.ts';
import { activitiesFor, PATIENT_RETRY, patiently } from './activity-proxies.ts';
import { describeFailure } from './failures.ts';
import { inTime, problemsOf, type ScratchOutcome, scratchRequest } from './scratch-restore.ts';

const CHOOSING_PATIENCE_MS = 15 * 60_000;

/** Why the drill proved no stretch of the archive. */
export interface NotProved {
  /** A clause. */
  readonly reason: string;
  /** True: it could not be found out whether there is a stretch to prove. */
  readonly isUnknown?: true;
}

/**
 * Proves the next stretch of a plan's archive: restores the backup before the stretch into scratch databases, replays the changes that the
 * backup after it contains, compares the two table by table, drops the databases, and stores the verdict beside the segments. An inconclusive
 * verdict isn't stored, and the next drill tries again.
 */
export async function proveArchive(input: DrillInput): Promise<ProofOutcome | NotProved> {
  const { plan, repository, source, drill: spec } = input;
  const wish = await chooseStretch(input);
  if ('reason' in wish) return wish;
  const { base, against, to, timelines, fromMicros, toMicros } = wish;
  const request = scratchRequest({ repository, plan, backup: base }, 'drill', {
    source,
    parallelism: spec.parallelism,
    check: 'content',
    indexCheckMs: 0,
    ...defined({ connection: spec.connection, owner: spec.owner }),
    replay: { to, timelines, proves: against },
  });
  const { outcome, leftBehind } = await inTime(spec.timeoutMs, request);
  const verdict = verdictOf(outcome);
  const problems = problemsOf(outcome);
  await CancellationScope.nonCancellable(async () => {
    if (verdict !== 'INCONCLUSIVE') {
      const found = { verdict, compared: outcome.compared ?? 'nothing', problems };
      await patiently('the proof into the archive').recordProof({ repository, plan, wish, ...found });
    }
    if (leftBehind) await patiently('drop what the restore left').discardRestore({ request });
  });
  return {
    verdict,
    base,
    against,
    from: isoOfMicros(fromMicros),
    to: isoOfMicros(toMicros),
    problems,
    ...defined({ compared: outcome.compared }),
  };
}

async function chooseStretch({ repository, plan }: DrillInput): Promise<ProofWish | NotProved> {
  const activities = activitiesFor({
    summary: 'what is to be proved',
    retry: PATIENT_RETRY,
    timeoutMs: CHOOSING_PATIENCE_MS,
  });
  try {
    return await activities.planProof({ repository, plan });
  } catch (error) {
    if (isCancellation(error)) throw error;
    return { reason: describeFailure(error).message, isUnknown: true };
  }
}

/** The verdict on the stretch. An error refutes it only where nothing but the archive can have caused that error. */
function verdictOf({ verdict, failure }: ScratchOutcome): Verdict {
  if (failure === undefined) return verdict;
  return refutes(failure) ? 'FAILED' : 'INCONCLUSIVE';
}
