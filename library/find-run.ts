import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { permanent } from '../model/errors.ts';
import { planKey } from '../workflows/run-attributes.ts';
import { RUN_TYPES } from './cancel-run.ts';
import type { RunPlace } from './runs.ts';

/** A run that a command or a schedule started. */
export interface Run {
  readonly workflowId: string;
  /** `backup`, `restore`, … */
  readonly type: string;
  readonly plan?: string;
  readonly isRunning: boolean;
}

/**
 * The run that an argument means: the one with this workflow id, or else the newest run of the plan with this name. Tells the plan's other
 * runs under way.
 *
 * @param wanted `under way`: only runs that have not ended
 * @throws HoldfastError `NO_SUCH_RUN` (permanent)
 */
export async function findRun(
  { client, tell }: Pick<RunPlace, 'client' | 'tell'>,
  argument: string,
  planName: () => Promise<string>,
  wanted: 'any' | 'under way',
): Promise<Run> {
  const byId = await runOf(client, argument);
  if (byId !== undefined) return byId;
  const plan = await planName();
  const found: Run[] = [];
  for await (const run of client.workflow.list({ query: queryOf(plan, wanted) })) {
    found.push({
      workflowId: run.workflowId,
      type: run.type,
      plan,
      isRunning: run.status.name === 'RUNNING',
    });
    if (found.length === RUNS_LOOKED_AT) break;
  }
  const running = found.filter(({ isRunning }) => isRunning);
  const chosen = running[0] ?? found[0];
  if (chosen === undefined) {
    throw permanent(
      'NO_SUCH_RUN',
      wanted === 'any' ? `Temporal knows no run of plan ${plan}` : `no run of plan ${plan} is under way`,
      wanted === 'any'
        ? `Begin one (holdfast backup ${plan}). Temporal keeps what ended for as long as its namespace says.`
        : `holdfast logs ${plan} shows the newest that has ended.`,
    );
  }
  for (const { workflowId } of running.slice(1)) tell?.(`Also under way: ${workflowId}`);
  return chosen;
}

const RUNS_LOOKED_AT = 20;

function queryOf(plan: string, wanted: 'any' | 'under way'): string {
  const types = RUN_TYPES.map((type) => `"${type}"`).join(', ');
  const state = wanted === 'any' ? '' : ' AND ExecutionStatus="Running"';
  return `WorkflowType IN (${types}) AND BackupPlan="${plan}"${state}`;
}

async function runOf(client: Client, workflowId: string): Promise<Run | undefined> {
  try {
    const { type, status, typedSearchAttributes } = await client.workflow.getHandle(workflowId).describe();
    const plan = typedSearchAttributes.get(planKey);
    return {
      workflowId,
      type,
      isRunning: status.name === 'RUNNING',
      ...(plan === undefined ? {} : { plan }),
    };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}
