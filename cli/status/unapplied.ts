import type { Client } from '@temporalio/client';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { PlanSurvey } from '../../model/survey.ts';
import { surveyOf } from '../../planning/survey.ts';
import { readCatalogue } from '../../repository/catalogue.ts';
import { backupWorkflowId, restoreWorkflowId } from '../../workflows/messages.ts';
import { withStore } from '../backups.ts';
import { inClusterHistory } from '../recovery.ts';

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

/** Reads that state. Throws the errors of reading the repository. */
export async function unappliedStatus(client: Client, plan: CompiledPlan): Promise<UnappliedStatus> {
  const { name, file, pipeline } = plan;
  const { archiveSources } = await import('../../engines/ysql/archive/sources.ts');
  const { archiveStandings } = await import('../../engines/ysql/archive/window.ts');
  const { catalogue, archives, archive } = await withStore(pipeline.repository, async (store) => {
    const found = await readCatalogue(store, pipeline.repository, name);
    return {
      catalogue: found,
      archives: await archiveSources(store, name, found.entries),
      archive: await archiveStandings(store, name),
    };
  });
  const survey = surveyOf(catalogue, [...(await inClusterHistory(plan)), ...archives], []);
  return {
    plan: name,
    file,
    pipelineHash: pipeline.hash,
    applied: false,
    running: [
      ...(await runsUnderWay(client, 'backup', backupWorkflowId(name, ''))),
      ...(await runsUnderWay(client, 'restore', restoreWorkflowId(name, ''))),
    ],
    survey: archive.length === 0 ? survey : { ...survey, archive },
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
