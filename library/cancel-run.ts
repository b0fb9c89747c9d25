import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { permanent } from '../model/errors.ts';
import type { Receipt } from '../workflows/plan-messages.ts';
import { planKey } from '../workflows/run-attributes.ts';
import { unlessEnded } from './ending-runs.ts';

/** Types of the workflows that a command or a schedule starts for a plan. All other workflows are parts of these. */
export const RUN_TYPES = ['backup', 'restore', 'inClusterRestore', 'drill', 'verify', 'prune', 'doctor'];

/**
 * Cancels a run of a plan by its workflow id, without the plan's entity: the plan may not be applied, and the entity knows only backups
 * and restores.
 *
 * @throws HoldfastError `NO_SUCH_RUN` (permanent) where this plan has no such run under way; the error names those that are
 */
export async function cancelRun(client: Client, plan: string, workflowId: string): Promise<Receipt> {
  if (!(await isRunningOf(client, plan, workflowId))) {
    throw permanent(
      'NO_SUCH_RUN',
      `no run ${workflowId} of plan ${plan} is under way; ${await runningRunsOf(client, plan)}`,
      `Write holdfast cancel ${plan} and the workflow id of a run.`,
    );
  }
  await unlessEnded(client.workflow.getHandle(workflowId).cancel());
  return { requestId: workflowId, outcome: 'accepted', told: 'its run is being cancelled', workflowId };
}

/** The error that lists the runs of a plan that isn't applied, since the user must name one. */
export async function whichRun(client: Client, plan: string) {
  return permanent(
    'PLAN_NOT_APPLIED',
    `plan ${plan} is not applied, so the run to cancel has to be named; ${await runningRunsOf(client, plan)}`,
    `Write holdfast cancel ${plan} and the workflow id of the run.`,
  );
}

async function isRunningOf(client: Client, plan: string, workflowId: string): Promise<boolean> {
  try {
    const { status, type, typedSearchAttributes } = await client.workflow.getHandle(workflowId).describe();
    return (
      status.name === 'RUNNING' && RUN_TYPES.includes(type) && typedSearchAttributes.get(planKey) === plan
    );
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/** The plan's runs under way, a clause. Temporal's list may be a second or so behind. */
async function runningRunsOf(client: Client, plan: string): Promise<string> {
  const types = RUN_TYPES.map((type) => `"${type}"`).join(', ');
  const query = `WorkflowType IN (${types}) AND ExecutionStatus="Running" AND BackupPlan="${plan}"`;
  const found: string[] = [];
  for await (const { workflowId } of client.workflow.list({ query })) found.push(workflowId);
  return found.length === 0 ? 'none is listed as under way' : `under way: ${found.sort().join(', ')}`;
}
