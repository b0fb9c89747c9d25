import { type Client, WithStartWorkflowOperation } from '@temporalio/client';
import type { Workflow } from '@temporalio/common';
import { type AdoptInput, APPLY_PLAN } from './contract.ts';
import { attributesOf } from './schedules.ts';

/*
 * Apart from the activities: the command line calls it too, and loads no engine for it.
 */

/** Sends the update `applyPlan` to the entity of a plan, and starts the entity if there is none. Its result is that of the update. */
export function applyPlanTo<Result>(
  client: Client,
  { workflowId, state, application }: Pick<AdoptInput, 'workflowId' | 'state' | 'application'>,
): Promise<Result> {
  const { plan, taskQueue } = application.revision;
  const { engine } = plan.pipeline.source;
  const startWorkflowOperation = new WithStartWorkflowOperation('plan', {
    workflowId,
    taskQueue,
    workflowIdConflictPolicy: 'USE_EXISTING',
    args: [state],
    staticSummary: `Plan ${plan.name}: ${engine} into ${plan.pipeline.repository.name}`,
    typedSearchAttributes: attributesOf(plan.name, engine),
  });
  return client.workflow.executeUpdateWithStart<Workflow, Result, [AdoptInput['application']]>(APPLY_PLAN, {
    startWorkflowOperation,
    args: [application],
  });
}
