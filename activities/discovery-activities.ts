import { type Client, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { listDatabases } from '../engines/ysql/databases.ts';
import { resolveTarget, withSession } from '../engines/ysql/server/session.ts';
import { isFailureDetails, permanent } from '../model/errors.ts';
import { applyPlanTo } from './apply-plan.ts';
import type { Activities } from './contract.ts';
import { asActivity } from './run-activity.ts';

/** The activities of a plan with `discover`. */
export function discoveryActivities(client: Client): Pick<Activities, 'listDatabases' | 'adoptPlan'> {
  return {
    listDatabases: ({ source }) =>
      asActivity(async (verb) => {
        const target = await resolveTarget(verb, source.connection);
        return withSession(target, target.database, verb.signal, (session) =>
          listDatabases(session, source.databases ?? { include: [target.database], exclude: [] }),
        );
      }),

    adoptPlan: (input) =>
      asActivity(async () => {
        const { workflowId, backup } = input;
        try {
          await applyPlanTo(client, input);
          if (backup === undefined) return;
          const argument = { requestId: backup, reason: 'its database was found' };
          await client.workflow.getHandle(workflowId).executeUpdate('backup', { args: [argument] });
        } catch (error) {
          throw refusalIn(error);
        }
      }),
  };
}

function refusalIn(error: unknown): unknown {
  if (!(error instanceof WorkflowUpdateFailedError) || !(error.cause instanceof ApplicationFailure))
    return error;
  const { type, details } = error.cause;
  const [refusal] = details ?? [];
  return isFailureDetails(refusal)
    ? permanent(type ?? 'REFUSED', refusal.problem, refusal.remedy, error)
    : error;
}
