import { defineSearchAttributeKey } from '@temporalio/common';
import type { CompiledPlan } from '../model/pipeline.ts';

/** The plan that a run belongs to. */
export const planKey = defineSearchAttributeKey('BackupPlan', 'KEYWORD');
const engineKey = defineSearchAttributeKey('BackupEngine', 'KEYWORD');

/** The search attributes by which every run of a plan is found in the Temporal UI. */
export function runAttributes(plan: Pick<CompiledPlan, 'name' | 'pipeline'>) {
  return [
    { key: planKey, value: plan.name },
    { key: engineKey, value: plan.pipeline.source.engine },
  ];
}
