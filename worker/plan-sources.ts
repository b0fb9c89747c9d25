import type { Client } from '@temporalio/client';
import type { HostedActivities } from '../activities/index.ts';
import { planRevision, planStatus } from '../workflows/plan-messages.ts';
import type { PlanSources } from './plan-metrics.ts';

/**
 * Finds the applied plans by their entities in Temporal, so that every worker knows all of them without a list of its own. Their
 * numbers come from their repositories.
 */
export function planSources(
  client: Client,
  { catalogueOf, archiveOf }: Pick<HostedActivities, 'catalogueOf' | 'archiveOf'>,
): PlanSources {
  return {
    async plans() {
      const found: Awaited<ReturnType<PlanSources['plans']>>[number][] = [];
      const query = 'WorkflowType="plan" AND ExecutionStatus="Running"';
      for await (const { workflowId } of client.workflow.list({ query })) {
        const entity = client.workflow.getHandle(workflowId);
        const { plan } = await entity.query(planRevision);
        // Neither makes backups, so an alarm that one is missing or old would never end.
        if (plan.discover !== undefined || plan.discovered?.goneSince !== undefined) continue;
        const { paused, refused } = await entity.query(planStatus);
        const { repository, source } = plan.pipeline;
        found.push({
          plan: plan.name,
          engine: source.engine,
          repository: repository.name,
          paused: paused !== null,
          refused: refused.count,
          catalogue: () => catalogueOf(repository, plan.name),
          ...(plan.pointTime?.archive === undefined
            ? {}
            : { archive: () => archiveOf(repository, plan.name) }),
        });
      }
      return found.sort((one, other) => (one.plan < other.plan ? -1 : 1));
    },
  };
}
