import { workflowInfo } from '@temporalio/workflow';
import { formatBytes, formatDuration } from '../model/amounts.ts';
import type { RestoreSummary, Verdict } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import type { Audience, Notification, RunKind, RunOutcome } from '../model/notification.ts';
import type { FailureReason } from './failures.ts';
import { sendNotification } from './notify.ts';

/** Of what kind a run is, and whom it tells of its end. */
export interface NewsWish extends Audience {
  readonly kind: RunKind;
  readonly plan: string;
  /** The backup that the run makes or works on. */
  readonly backup?: string;
}

/** What a run that came to its end tells. */
interface GoodEnd {
  readonly headline: string;
  readonly verdict?: Verdict;
  readonly facts?: Notification['facts'];
  readonly error?: FailureReason;
  /** The backup, where it was chosen by the run itself. */
  readonly backup?: string;
}

const OUTCOME_OF: Readonly<Record<Verdict, RunOutcome>> = {
  OK: 'completed',
  FAILED: 'failed',
  INCONCLUSIVE: 'inconclusive',
};

/** Tells that the run has come to its end, with its verdict where it has one. */
export async function tellOfEnd(
  wish: NewsWish,
  { headline, verdict = 'OK', facts = {}, error, backup }: GoodEnd,
): Promise<void> {
  const { kind, backup: given, ...audience } = wish;
  await sendNotification(
    keyOf(kind),
    {
      ...audience,
      type: `${kind}.${OUTCOME_OF[verdict]}`,
      ok: verdict === 'OK',
      headline,
      ...defined({ backup: backup ?? given, error }),
      facts: { ...facts, took: formatDuration(Date.now() - workflowInfo().startTime.getTime()) },
    },
    !TOLD_OF_ENDS.includes(kind),
  );
}

/** Tells that the run failed or was cancelled. A test of a restore that broke off has found nothing out, so it is inconclusive. */
export async function tellOfFailure(
  { kind, ...wish }: NewsWish,
  headline: string,
  reason: FailureReason,
  isCancelled: boolean,
): Promise<void> {
  const failed = kind === 'drill' || kind === 'verify' ? 'inconclusive' : 'failed';
  const outcome = isCancelled ? 'cancelled' : failed;
  await sendNotification(
    keyOf(kind),
    { ...wish, type: `${kind}.${outcome}`, ok: false, headline, error: reason, facts: {} },
    isCancelled || !TOLD_OF_FAILURES.includes(kind),
  );
}

/** Tells that a backup has started. */
export async function tellOfStart(wish: NewsWish): Promise<void> {
  const { kind: _, ...news } = wish;
  const headline = `Backup ${wish.backup ?? ''} of ${wish.plan} has started`;
  await sendNotification('start', { ...news, type: 'backup.started', ok: true, headline, facts: {} }, true);
}

/** What a restore that came to its end tells beside its headline. */
export function restoreFacts({ databases, verdict, bytes }: RestoreSummary): Notification['facts'] {
  return { into: databases.map(({ to }) => to).join(', '), verdict, data: formatBytes(bytes) };
}

/** The kinds of runs of which version 0.1.0 told. */
const TOLD_OF_ENDS: readonly RunKind[] = ['backup', 'drill'];
const TOLD_OF_FAILURES: readonly RunKind[] = ['backup', 'off-cluster'];

/**
 * What distinguishes the run that sends the notification. Histories of backups and drills hold these names. A prune and a verification
 * may run again under the same workflow id, while the notification of the one before is still tried.
 */
function keyOf(kind: RunKind): string {
  if (kind === 'drill') return 'drill';
  if (kind !== 'prune' && kind !== 'verify') return 'end';
  return `end-${workflowInfo().startTime.getTime()}`;
}
