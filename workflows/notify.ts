import {
  CancellationScope,
  isCancellation,
  log,
  ParentClosePolicy,
  patched,
  startChild,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import {
  type Audience,
  type EventName,
  groupOf,
  type Notification,
  type NotifyTarget,
  wants,
} from '../model/notification.ts';
import { deliveryTo, mailOf } from '../planning/notification.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { describeFailure } from './failures.ts';

/** How long a notification is tried. After that it is given up, since its news is old. */
const TRIED_FOR_MS = 3_600_000;
/** The same for the call that a backup has started, which must not come after the call that it has ended. */
const START_TRIED_FOR_MS = 60_000;

interface NotifyInput {
  readonly targets: readonly NotifyTarget[];
  readonly notification: Notification;
}

/** Notifies all targets at once. One that can't be reached doesn't keep the others from being notified. */
export async function notify({ targets, notification }: NotifyInput): Promise<{ readonly told: number }> {
  const messageId = uuid4();
  const answers = await Promise.all(
    targets.map(async (target) => {
      try {
        await deliver(target, notification, messageId);
        return true;
      } catch (error) {
        if (isCancellation(error)) throw error;
        log.warn(`${target.kind} got no notification: ${describeFailure(error).message}`);
        return false;
      }
    }),
  );
  return { told: answers.filter((isNotified) => isNotified).length };
}

async function deliver(target: NotifyTarget, notification: Notification, messageId: string): Promise<void> {
  const { kind } = target;
  const isStart = notification.type === 'backup.started';
  const activities = activitiesFor({
    summary: `notify ${kind}: ${notification.type ?? notification.event}`,
    retry: PATIENT_RETRY,
    timeoutMs: isStart ? START_TRIED_FOR_MS : TRIED_FOR_MS,
  });
  if (kind !== 'email') {
    await activities.http(deliveryTo(target, notification, messageId));
    return;
  }
  const { to, from, smtp } = target;
  await activities.mail({ to, from, smtp, messageId, ...mailOf(notification) });
}

/** What to tell, and to whom. */
export type News = Audience & { readonly type: EventName } & Omit<
    Notification,
    'event' | 'type' | 'labels' | 'at' | 'workflowId'
  >;

/**
 * Starts a run that sends the notifications, and doesn't wait for it. That run outlives this one and can't make it fail.
 *
 * @param key distinguishes the notifications of one workflow
 * @param isNew true: version 0.1.0 told nobody here, so its histories have no such child
 */
export async function sendNotification(
  key: string,
  { notify: targets = [], labels = {}, ...news }: News,
  isNew = false,
): Promise<void> {
  const { type, ok } = news;
  const wanting = targets.filter((target) => wants(target, type, ok));
  if (wanting.length === 0) return;
  const group = groupOf(type);
  const wasTold = !isNew && group !== undefined && wanting.some(({ on }) => on.includes(group));
  if (!wasTold && !patched('every end is told')) return;
  const { workflowId } = workflowInfo();
  const at = new Date(Date.now()).toISOString();
  const input: NotifyInput = {
    targets: wanting,
    notification: { event: group ?? type, ...news, labels, at, workflowId },
  };
  await CancellationScope.nonCancellable(async () => {
    try {
      await startChild(notify, {
        workflowId: `${workflowId}:notify:${key}`,
        parentClosePolicy: ParentClosePolicy.ABANDON,
        staticSummary: `notification of ${type}: ${news.headline}`.slice(0, 200),
        args: [input],
      });
    } catch (error) {
      // Another run already has this id. A notification must not change the outcome of the run that it reports on.
      log.warn(`no notification was sent: ${describeFailure(error).message}`);
    }
  });
}
