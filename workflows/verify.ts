import { ApplicationFailure, executeChild, workflowInfo } from '@temporalio/workflow';
import type { Activities } from '../activities/contract.ts';
import type { BackupRef, RestoreSummary, VerifyReport } from '../model/backup.ts';
import type { Source } from '../model/pipeline.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { Board } from './board.ts';
import { describeFailure, rootFailure } from './failures.ts';
import type { VerifyInput } from './messages.ts';
import { restore } from './restore.ts';

const DAY_MS = 24 * 3_600_000;
const REHEARSAL_LANES = 2;

/** Checks one backup at a level and puts the verdict into the repository's ledger. Fails only when it can't even say. */
export async function verify(input: VerifyInput): Promise<VerifyReport> {
  const { ref, level, source } = input;
  const board = new Board(`Verification of ${ref.backup}`, [{ id: 'verify', verb: 'verify' }]);
  board.start('verify');
  const activities = activitiesFor({ summary: `verify ${level}`, retry: PATIENT_RETRY, timeoutMs: DAY_MS });
  try {
    const report =
      level === 'restore'
        ? await rehearse(activities, ref, source, REHEARSAL_LANES)
        : await activities.verify({ ref, level });
    board.end('verify', report.verdict === 'OK' ? 'done' : 'failed', report.problems.slice(0, 10).join('; '));
    board.conclude(
      report.verdict === 'OK' ? 'done' : 'failed',
      `${ref.backup}, level ${level}: ${report.verdict}`,
    );
    return report;
  } catch (error) {
    const failure = describeFailure(error);
    board.end('verify', 'failed', failure.message);
    board.conclude('failed', failure.message);
    throw ApplicationFailure.nonRetryable(failure.message, failure.code);
  }
}

/** Level `restore`: restores into scratch databases, compares every row, drops them, and records the verdict. */
export async function rehearse(
  activities: Activities,
  ref: BackupRef,
  source: Source,
  parallelism: number,
): Promise<VerifyReport> {
  const startedAt = new Date(Date.now()).toISOString();
  const id = `rehearsal_${Date.now().toString(36)}`;
  const outcome = await outcomeOf(() =>
    executeChild(restore, {
      workflowId: `${workflowInfo().workflowId}:${id}`,
      staticSummary: `restore rehearsal of ${ref.backup}`,
      args: [
        {
          restore: id,
          from: ref,
          source,
          into: {},
          replace: false,
          tables: { include: [], exclude: [] },
          contents: 'all',
          globals: false,
          check: 'content',
          scratch: true,
          parallelism,
        },
      ],
    }),
  );
  const report: VerifyReport = {
    plan: ref.plan,
    backup: ref.backup,
    level: 'restore',
    verdict: outcome.verdict,
    checkedObjects: outcome.tables,
    checkedBytes: outcome.bytes,
    problems: outcome.problems,
    startedAt,
    finishedAt: new Date(Date.now()).toISOString(),
  };
  await activities.recordVerification({ ref, report });
  return report;
}

type Outcome = Pick<RestoreSummary, 'verdict' | 'tables' | 'bytes' | 'problems'>;

/** A restore that fails on damaged data proves damage; one that fails otherwise (no target, no space) proves nothing. */
async function outcomeOf(run: () => Promise<RestoreSummary>): Promise<Outcome> {
  try {
    return await run();
  } catch (error) {
    const root = rootFailure(error);
    if (!(root instanceof ApplicationFailure)) throw error;
    const damaged =
      root.type === 'STORE_DAMAGED' || root.type === 'STORE_NOT_FOUND' || root.type === 'MANIFEST_DAMAGED';
    return { verdict: damaged ? 'FAILED' : 'INCONCLUSIVE', tables: 0, bytes: 0, problems: [root.message] };
  }
}
