import type { Client } from '@temporalio/client';
import type { CompiledPlan } from '../model/pipeline.ts';
import type { PlanSurvey } from '../model/survey.ts';
import { backupWorkflowId, restoreWorkflowId } from '../workflows/messages.ts';
import type { PlanStatus } from '../workflows/plan-messages.ts';
import type { Access } from './access.ts';
import { appliedPlans, findEntity } from './plan-entities.ts';
import { readSurvey } from './survey.ts';

/** The status of a plan that is applied: its entity's own account. Field names are those of `status --json`. */
export type AppliedStatus = PlanStatus & { readonly applied: true };

/**
 * A plan that isn't applied, so that only commands run it (by cron, by CI). Its state comes from its repository and from
 * Temporal.
 */
export interface UnappliedStatus {
  readonly plan: string;
  readonly file: string;
  readonly pipelineHash: string;
  readonly applied: false;
  readonly running: readonly {
    readonly kind: 'backup' | 'restore';
    readonly workflowId: string;
    readonly startedAt: string;
  }[];
  readonly survey: PlanSurvey;
}

/** The status of every plan that is applied, by name. */
export async function appliedStatuses(client: Client): Promise<readonly AppliedStatus[]> {
  const names = await appliedPlans(client);
  const found = await Promise.all(names.map((name) => appliedStatus(client, name)));
  return found.flatMap((status) => status ?? []);
}

/** The status of a plan by its name. Undefined: it is not applied. */
export async function appliedStatus(client: Client, name: string): Promise<AppliedStatus | undefined> {
  const entity = await findEntity(client, name);
  return entity && { ...entity.status, applied: true };
}

/** The status of a plan that is not applied. Throws the errors of reading its repository. */
export async function unappliedStatus(
  access: Access,
  client: Client,
  plan: CompiledPlan,
): Promise<UnappliedStatus> {
  const { name, file, pipeline } = plan;
  const survey = await readSurvey(access, plan);
  return {
    plan: name,
    file,
    pipelineHash: pipeline.hash,
    applied: false,
    running: [
      ...(await runsUnderWay(client, 'backup', backupWorkflowId(name, ''))),
      ...(await runsUnderWay(client, 'restore', restoreWorkflowId(name, ''))),
    ],
    survey,
  };
}

/** Finds runs by their ids, since that needs no search attributes. */
async function runsUnderWay(
  client: Client,
  kind: 'backup' | 'restore',
  prefix: string,
): Promise<UnappliedStatus['running']> {
  const query = `WorkflowType="${kind}" AND ExecutionStatus="Running" AND WorkflowId STARTS_WITH "${prefix}"`;
  const runs = await Array.fromAsync(client.workflow.list({ query }));
  return runs.map(({ workflowId, startTime }) => ({ kind, workflowId, startedAt: startTime.toISOString() }));
}
