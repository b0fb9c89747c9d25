import type { Client } from '@temporalio/client';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { PlanSurvey } from '../../model/survey.ts';
import { surveyOf } from '../../planning/survey.ts';
import { readCatalogue } from '../../repository/catalogue.ts';
import { backupWorkflowId, restoreWorkflowId } from '../../workflows/messages.ts';
import { withStore } from '../backups.ts';
import { inClusterHistory } from '../recovery.ts';

/** A plan that is run by commands alone (by cron, by CI): its repository and Temporal know what there is to know of it. */
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

/** Throws what reading the repository throws. */
export async function unappliedStatus(client: Client, plan: CompiledPlan): Promise<UnappliedStatus> {
  const { name, file, pipeline } = plan;
  const catalogue = await withStore(pipeline.repository, (store) =>
    readCatalogue(store, pipeline.repository, name),
  );
  return {
    plan: name,
    file,
    pipelineHash: pipeline.hash,
    applied: false,
    running: [
      ...(await runsUnderWay(client, 'backup', backupWorkflowId(name, ''))),
      ...(await runsUnderWay(client, 'restore', restoreWorkflowId(name, ''))),
    ],
    survey: surveyOf(catalogue, await inClusterHistory(plan), []),
  };
}

/** By their ids, which need no search attributes. */
async function runsUnderWay(
  client: Client,
  kind: 'backup' | 'restore',
  prefix: string,
): Promise<UnappliedStatus['running']> {
  const query = `WorkflowType="${kind}" AND ExecutionStatus="Running" AND WorkflowId STARTS_WITH "${prefix}"`;
  const runs = await Array.fromAsync(client.workflow.list({ query }));
  return runs.map(({ workflowId, startTime }) => ({ kind, workflowId, startedAt: startTime.toISOString() }));
}
