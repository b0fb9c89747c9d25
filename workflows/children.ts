import type { Workflow, WorkflowResultType } from '@temporalio/common';
import {
  CancellationScope,
  type ChildWorkflowHandle,
  getExternalWorkflowHandle,
  workflowInfo,
} from '@temporalio/workflow';
import { transferProgress } from './messages.ts';
import type { TransferProgress } from './progress.ts';

/**
 * Starts a child and waits for its result, as the SDK's `executeChild` does, but holds a cancellation back until the server has
 * started the child. A cancellation that is sent earlier is answered "not found" and lost: the child starts all the same, and its
 * parent waits until it ends by itself.
 */
export async function runChild<T extends Workflow>(
  start: () => Promise<ChildWorkflowHandle<T>>,
): Promise<WorkflowResultType<T>> {
  const caller = CancellationScope.current();
  if (caller.consideredCancelled) return caller.cancelRequested;
  return CancellationScope.nonCancellable(async () => {
    const scope = new CancellationScope();
    const child = await scope.run(start);
    caller.cancelRequested.catch(() => scope.cancel());
    return child.result();
  });
}

/** Reports this child's progress to the run that waits for it. A child that was started by hand has no such run. */
export async function reportToParent(progress: TransferProgress): Promise<void> {
  const { parent } = workflowInfo();
  if (parent === undefined) return;
  await getExternalWorkflowHandle(parent.workflowId, parent.runId).signal(transferProgress, progress);
}
