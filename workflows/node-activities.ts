import { ActivityCancellationType, type ActivityInterface, proxyActivities } from '@temporalio/workflow';
import type { NodeActivities } from '../activities/contract.ts';
import type { RetryPolicy } from '../model/pipeline.ts';
import { nodeQueue } from '../model/task-queue.ts';
import { HEARTBEAT_TIMEOUT_MS } from './activity-proxies.ts';

interface NodeCallOptions {
  /** `host:port` of the tablet server whose agent is called. */
  readonly node: string;
  /** One line in the UI's history. */
  readonly summary: string;
  readonly retry: RetryPolicy;
  /** Longest time for all attempts together. */
  readonly timeoutMs: number;
  /**
   * An agent that takes longer to accept the work counts as gone. The call then fails with a schedule-to-start timeout, which isn't
   * retried.
   */
  readonly agentMs: number;
}

/** The activities of one node's agent. */
export function nodeActivitiesOf(options: NodeCallOptions): NodeActivities {
  const { maximumAttempts, initialIntervalMs, maximumIntervalMs, backoffCoefficient } = options.retry;
  return proxyActivities<ActivityInterface & NodeActivities>({
    taskQueue: nodeQueue(options.node),
    scheduleToCloseTimeout: options.timeoutMs,
    scheduleToStartTimeout: options.agentMs,
    heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    summary: options.summary,
    retry: {
      ...(maximumAttempts === 0 ? {} : { maximumAttempts }),
      initialInterval: initialIntervalMs,
      maximumInterval: maximumIntervalMs,
      backoffCoefficient,
    },
  });
}
