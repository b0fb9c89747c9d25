import { defineSearchAttributeKey } from '@temporalio/common';
import type { CompiledPlan } from '../model/pipeline.ts';

/** The plan that a run belongs to. */
export const planKey = defineSearchAttributeKey('BackupPlan', 'KEYWORD');
const engineKey = defineSearchAttributeKey('BackupEngine', 'KEYWORD');

/** The priority of a plan's runs, as an option of their start. Temporal hands it on to their activities and children. */
export function runPriority({ priority }: Pick<CompiledPlan, 'priority'>) {
  return priority === undefined ? {} : { priority: { priorityKey: priority } };
}

/** The search attributes by which every run of a plan is found in the Temporal UI. */
export function runAttributes(plan: Pick<CompiledPlan, 'name' | 'pipeline'>) {
  return [
    { key: planKey, value: plan.name },
    { key: engineKey, value: plan.pipeline.source.engine },
  ];
}
