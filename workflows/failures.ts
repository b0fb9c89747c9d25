import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  isCancellation,
  TimeoutFailure,
} from '@temporalio/workflow';
import { READ_POINT_LOST } from '../model/errors.ts';

/** The failure that happened first. Activities and children wrap it in failures of their own. */
export function rootFailure(error: unknown): unknown {
  let current = error;
  while (current instanceof ActivityFailure || current instanceof ChildWorkflowFailure) {
    if (current.cause === undefined) break;
    current = current.cause;
  }
  return current;
}

/** Why a run or an activity failed. */
export interface FailureReason {
  readonly code: string;
  readonly message: string;
}

/** A failure as one sentence for a person: code, cause and remedy, without Temporal's wrapping. */
export function describeFailure(error: unknown): FailureReason {
  const root = rootFailure(error);
  if (root instanceof ApplicationFailure) {
    return { code: root.type ?? 'FAILED', message: root.message };
  }
  if (root instanceof TimeoutFailure) {
    const last = root.cause instanceof ApplicationFailure ? ` Last failure: ${root.cause.message}` : '';
    return {
      code: 'TIMED_OUT',
      message:
        `timed out (${root.timeoutType}): no worker finished it in time.${last} Check that a worker is running ` +
        `(holdfast worker) and give the step a longer \`timeout\` in the plan if the work is simply long.`,
    };
  }
  if (isCancellation(root) || root instanceof CancelledFailure) {
    return { code: 'CANCELLED', message: 'cancelled on request' };
  }
  return { code: 'FAILED', message: root instanceof Error ? root.message : String(root) };
}

/** Whether a failure means that the read point is gone. */
export function isReadPointLost(error: unknown): boolean {
  const root = rootFailure(error);
  return root instanceof ApplicationFailure && root.type === READ_POINT_LOST;
}

/** Ignores a cancellation that this workflow caused by cancelling a scope. Throws any other error. */
export function ignoreCancellation(error: unknown): void {
  if (!isCancellation(error)) throw error;
}
