import { ApplicationFailure, isCancellation, patched, startChild, workflowInfo } from '@temporalio/workflow';
import type { Activities } from '../activities/contract.ts';
import { formatDuration } from '../model/amounts.ts';
import type {
  BackupRef,
  RestoreRequest,
  RestoreSummary,
  SchemaReport,
  VerifyReport,
} from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import { type Assertion, type ScratchPurpose, scratchName } from '../model/drill.ts';
import { kindOf } from '../model/engine-kind.ts';
import { describeLeftOut } from '../model/left-out-text.ts';
import { patiently } from './activity-proxies.ts';
import { runChild } from './children.ts';
import { describeFailure, rootFailure } from './failures.ts';
import type { RestoreLeftovers, WorkflowsByName } from './messages.ts';
import { withDeadline } from './scopes.ts';

type ScratchWishes = Pick<RestoreRequest, 'source' | 'parallelism'> &
  Partial<
    Pick<
      RestoreRequest,
      'connection' | 'check' | 'assertions' | 'contents' | 'tolerate' | 'owner' | 'indexCheckMs' | 'replay'
    >
  >;

/** Level `restore`: restores into scratch databases, compares every row, drops them, and records the verdict. */
export async function verifyByRestore(
  activities: Pick<Activities, 'recordVerification'>,
  ref: BackupRef,
  wishes: ScratchWishes,
): Promise<VerifyReport> {
  const startedAt = new Date(Date.now()).toISOString();
  const request = scratchRequest(ref, 'rehearsal', wishes);
  const { outcome, leftBehind } = await restoreScratch(request);
  const report = reportOf(ref, outcome, startedAt);
  await activities.recordVerification({ ref, report });
  // After the verdict, which must not wait for a server that is down.
  const stays = leftBehind ? await dropLeft(request) : undefined;
  return stays === undefined ? report : { ...report, notes: [...(report.notes ?? []), stays] };
}

/** Drops what a scratch restore made and could not drop itself. Returns a sentence where that fails too. */
async function dropLeft(request: RestoreRequest): Promise<string | undefined> {
  // A universe's restore drops what it can by itself; what it names as left needs a person.
  if (kindOf(request.source) !== 'rows' || !patched('a verification drops what its restore left'))
    return undefined;
  try {
    await patiently('drop what the restore left').discardRestore({ request });
    return undefined;
  } catch (error) {
    if (isCancellation(error)) throw error;
    return `The scratch databases of ${request.restore} could not be dropped and are still there: ${describeFailure(error).message}`;
  }
}

/** Level `schema`: creates the schema without rows in scratch databases, drops them, and names what the server refuses. */
export async function verifyBySchema(ref: BackupRef, wishes: ScratchWishes): Promise<SchemaReport> {
  const startedAt = new Date(Date.now()).toISOString();
  const request = scratchRequest(ref, 'rehearsal', { ...wishes, contents: 'schema', tolerate: true });
  const { outcome, leftBehind } = await restoreScratch(request);
  const stays = leftBehind ? await dropLeft(request) : undefined;
  const { leftOut } = outcome;
  return {
    plan: ref.plan,
    backup: ref.backup,
    level: 'schema',
    verdict: outcome.verdict,
    problems: [...problemsOf(outcome), ...(stays === undefined ? [] : [stays])],
    ...defined({ leftOut }),
    startedAt,
    finishedAt: new Date(Date.now()).toISOString(),
  };
}

/** @param prefix how the names of the scratch databases begin, so that people recognise them */
export function scratchRequest(
  ref: BackupRef,
  prefix: ScratchPurpose,
  wishes: ScratchWishes,
): RestoreRequest {
  return {
    restore: scratchName(prefix, new Date()),
    from: ref,
    into: {},
    replace: false,
    tables: { include: [], exclude: [] },
    contents: 'all',
    globals: false,
    check: 'content',
    ...wishes,
    scratch: true,
  };
}

export type ScratchOutcome = Pick<
  RestoreSummary,
  'verdict' | 'tables' | 'bytes' | 'problems' | 'compared' | 'notes' | 'drill' | 'leftOut' | 'leftOutMore'
> & {
  /** The error that ended the restore. Absent where the restore got as far as its comparison. */
  readonly failure?: { readonly code: string; readonly message: string };
};

/** Most notes in a report. The ledger keeps reports for good. */
const MAX_NOTES = 20;

/** Restores into scratch databases. The restore drops them; `leftBehind` means that it could not, so somebody else must. */
async function restoreScratch(
  request: RestoreRequest,
): Promise<{ readonly outcome: ScratchOutcome; readonly leftBehind: boolean }> {
  const startedAtMs = Date.now();
  try {
    const outcome = await runChild(() =>
      startChild<WorkflowsByName['restore']>('restore', {
        workflowId: `${workflowInfo().workflowId}:${request.restore}`,
        staticSummary: `scratch restore of ${request.from.backup}`,
        args: [request],
      }),
    );
    const { assertions } = request;
    const isAsked = assertions === undefined || outcome.drill !== undefined;
    return {
      outcome: isAsked ? outcome : unasked(outcome, assertions, Date.now() - startedAtMs),
      leftBehind: false,
    };
  } catch (error) {
    if (isCancellation(error)) throw error;
    return { outcome: outcomeOfFailure(error), leftBehind: hasLeftBehind(error) };
  }
}

/** Some engines' copies can't be asked, and a restore then skips the assertions. Their outcome is unknown. */
function unasked(
  outcome: ScratchOutcome,
  assertions: readonly Assertion[],
  restoreMs: number,
): ScratchOutcome {
  const problem = 'copies of this engine can’t be asked';
  const results = assertions.map(({ name }) => ({ name, verdict: 'INCONCLUSIVE' as const, problem }));
  const isOpen = outcome.verdict === 'OK' && results.length > 0;
  return {
    ...outcome,
    verdict: isOpen ? 'INCONCLUSIVE' : outcome.verdict,
    problems: isOpen ? [`assertions: ${problem}`] : outcome.problems,
    drill: { restoreMs, assertions: results },
  };
}

/** The report for the ledger on a scratch restore. @param startedAt ISO 8601 in UTC */
export function reportOf(ref: BackupRef, outcome: ScratchOutcome, startedAt: string): VerifyReport {
  return {
    plan: ref.plan,
    backup: ref.backup,
    level: 'restore',
    verdict: outcome.verdict,
    checkedObjects: outcome.tables,
    checkedBytes: outcome.bytes,
    problems: problemsOf(outcome),
    ...defined({ compared: outcome.compared }),
    ...(outcome.notes === undefined ? {} : { notes: outcome.notes.slice(0, MAX_NOTES) }),
    startedAt,
    finishedAt: new Date(Date.now()).toISOString(),
    ...defined({ drill: outcome.drill }),
  };
}

/** Most problems in a report. */
const PROBLEMS_AT_MOST = 100;

/** The problems of a restore, together with what the server refused and a tolerant restore left out. */
export function problemsOf({
  problems,
  leftOut = [],
  leftOutMore = 0,
}: Pick<RestoreSummary, 'problems' | 'leftOut' | 'leftOutMore'>): readonly string[] {
  const refused = leftOut.filter(({ because }) => because === 'error').map(describeLeftOut);
  const all = [...problems, ...refused];
  const more = Math.max(0, all.length - PROBLEMS_AT_MOST) + leftOutMore;
  return [...all.slice(0, PROBLEMS_AT_MOST), ...(more === 0 ? [] : [`${more} more were left out`])];
}

/** Runs a scratch restore, and gives it up after its time limit. A restore that is given up drops what it created. */
export async function inTime(
  timeoutMs: number,
  request: RestoreRequest,
): Promise<{ readonly outcome: ScratchOutcome; readonly leftBehind: boolean }> {
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
    const { code, message } = describeFailure(error);
    return {
      outcome: {
        verdict: 'INCONCLUSIVE',
        tables: 0,
        bytes: 0,
        problems: [message],
        failure: { code, message },
      },
      // A cancelled restore drops what it created. One that can't is not cancelled but fails.
      leftBehind: false,
    };
  }
}

const DAMAGE = ['STORE_DAMAGED', 'STORE_NOT_FOUND', 'MANIFEST_DAMAGED'];

/** Failing on damaged data proves damage. Any other failure (no target, no space) proves nothing. */
function outcomeOfFailure(error: unknown): ScratchOutcome {
  const { code, message } = describeFailure(error);
  const verdict = DAMAGE.includes(code) ? 'FAILED' : 'INCONCLUSIVE';
  return { verdict, tables: 0, bytes: 0, problems: [message], failure: { code, message } };
}

function hasLeftBehind(error: unknown): boolean {
  const root = rootFailure(error);
  if (!(root instanceof ApplicationFailure)) return true;
  const [leftovers] = (root.details ?? []) as readonly (RestoreLeftovers | undefined)[];
  return leftovers?.leftBehind ?? false;
}
