import { ApplicationFailure } from '@temporalio/workflow';
import type { SchemaReport, VerifyReport } from '../model/backup.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { Board } from './board.ts';
import { tellCatalogueChanged } from './catalogue-news.ts';
import { describeFailure } from './failures.ts';
import type { VerifyInput } from './messages.ts';
import { rehearse, rehearseSchema } from './rehearsal.ts';

const DAY_MS = 24 * 3_600_000;
const REHEARSAL_LANES = 2;

/** Checks one backup at a level and puts the verdict into the repository's ledger. Fails only when no verdict can be recorded. */
export async function verify(input: VerifyInput): Promise<VerifyReport | SchemaReport> {
  const { ref, level, source } = input;
  const board = new Board(`Verification of ${ref.backup}`, [{ id: 'verify', verb: 'verify' }]);
  board.start('verify');
  const activities = activitiesFor({ summary: `verify ${level}`, retry: PATIENT_RETRY, timeoutMs: DAY_MS });
  try {
    const report =
      level === 'schema'
        ? await rehearseSchema(ref, { source, parallelism: REHEARSAL_LANES })
        : level === 'restore'
          ? await rehearse(activities, ref, { source, parallelism: REHEARSAL_LANES })
          : await activities.verify({ ref, level });
    board.end('verify', report.verdict === 'OK' ? 'done' : 'failed', report.problems.slice(0, 10).join('; '));
    board.conclude(
      report.verdict === 'OK' ? 'done' : 'failed',
      `${ref.backup}, level ${level}: ${report.verdict}`,
    );
    if (level !== 'schema') await tellCatalogueChanged(ref.plan);
    return report;
  } catch (error) {
    const failure = describeFailure(error);
    board.end('verify', 'failed', failure.message);
    board.conclude('failed', failure.message);
    throw ApplicationFailure.nonRetryable(failure.message, failure.code);
  }
}
