import {
  CancellationScope,
  isCancellation,
  log,
  ParentClosePolicy,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import type { Notification, NotifyTarget } from '../model/notification.ts';
import { notificationBody } from '../planning/notification.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { describeFailure } from './failures.ts';

/** How long a notification is tried. After that it is given up, since its news is old. */
const TRIED_FOR_MS = 3_600_000;

interface NotifyInput {
  readonly targets: readonly NotifyTarget[];
  readonly notification: Notification;
}

/** Notifies all targets at once. One that can't be reached doesn't keep the others from being notified. */
export async function notify({ targets, notification }: NotifyInput): Promise<{ readonly told: number }> {
  const answers = await Promise.all(
    targets.map(async ({ kind, url }) => {
      const activities = activitiesFor({
        summary: `notify ${kind}: ${notification.event}`,
        retry: PATIENT_RETRY,
        timeoutMs: TRIED_FOR_MS,
      });
      try {
        await activities.http({
          request: { url, method: 'POST' },
          body: notificationBody(kind, notification),
        });
        return true;
      } catch (error) {
        if (isCancellation(error)) throw error;
        log.warn(`${kind} got no notification: ${describeFailure(error).message}`);
        return false;
      }
    }),
  );
  return { told: answers.filter((isNotified) => isNotified).length };
}

/**
 * Starts a run that sends the notifications, and doesn't wait for it. That run outlives this one and can't make it fail. `key`
 * distinguishes the notifications of one workflow.
 */
export async function sendNotification(
  targets: readonly NotifyTarget[] | undefined,
  key: string,
  notification: Omit<Notification, 'at' | 'workflowId'>,
): Promise<void> {
  const wanting = (targets ?? []).filter(({ on }) => on.includes(notification.event));
  if (wanting.length === 0) return;
  const { workflowId } = workflowInfo();
  const input: NotifyInput = {
    targets: wanting,
    notification: { ...notification, at: new Date(Date.now()).toISOString(), workflowId },
  };
  await CancellationScope.nonCancellable(async () => {
    try {
      await startChild(notify, {
        workflowId: `${workflowId}:notify:${key}`,
        parentClosePolicy: ParentClosePolicy.ABANDON,
        staticSummary: `notification of ${notification.event}: ${notification.headline}`.slice(0, 200),
        args: [input],
      });
    } catch (error) {
      // Another run already has this id. A notification must not change the outcome of the run that it reports on.
      log.warn(`no notification was sent: ${describeFailure(error).message}`);
    }
  });
}
