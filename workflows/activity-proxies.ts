import { ActivityCancellationType, type ActivityInterface, proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/contract.ts';
import { defined } from '../model/defined.ts';
import type { RetryPolicy } from '../model/pipeline.ts';
import { DAY_MS } from '../model/time.ts';

interface CallOptions {
  /** One line in the UI's history. */
  readonly summary: string;
  readonly retry: RetryPolicy;
  /** Longest time for all attempts together. */
  readonly timeoutMs: number;
  /** Absent: the workflow's own. */
  readonly taskQueue?: string;
}

/**
 * After this long without a heartbeat a worker counts as gone. Workers send a heartbeat every second (worker/main.ts). This also
 * bounds how long a cancelled run waits for a dead worker.
 */
export const HEARTBEAT_TIMEOUT_MS = 15_000;

/** The activities, each call with the retry and timeout of the step it belongs to. */
export function activitiesFor(options: CallOptions): Activities {
  const { maximumAttempts, initialIntervalMs, maximumIntervalMs, backoffCoefficient } = options.retry;
  return proxyActivities<ActivityInterface & Activities>({
    scheduleToCloseTimeout: options.timeoutMs,
    heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
    // Clean-up must not race with writers that have not noticed yet that they are cancelled.
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    summary: options.summary,
    ...defined({ taskQueue: options.taskQueue }),
    retry: {
      ...(maximumAttempts === 0 ? {} : { maximumAttempts }),
      initialInterval: initialIntervalMs,
      maximumInterval: maximumIntervalMs,
      backoffCoefficient,
    },
  });
}

/** For work that belongs to no step of a plan (clean-up, restores): keeps trying for a while. */
export const PATIENT_RETRY: RetryPolicy = {
  maximumAttempts: 0,
  initialIntervalMs: 1_000,
  maximumIntervalMs: 30_000,
  backoffCoefficient: 2,
};

/** The activities for work that belongs to no step of a plan: each is tried for a day. */
export function patiently(summary: string, taskQueue?: string): Activities {
  return activitiesFor({ summary, retry: PATIENT_RETRY, timeoutMs: DAY_MS, ...defined({ taskQueue }) });
}

/** Longest time for one activity whose work grows with the data: an index, a replay, a comparison. */
export const LENGTHY_MS = 7 * DAY_MS;

/** As `patiently`, for work that grows with the data and may take more than a day. */
export function lengthily(summary: string, forMs = LENGTHY_MS): Activities {
  return activitiesFor({ summary, retry: PATIENT_RETRY, timeoutMs: forMs });
}
