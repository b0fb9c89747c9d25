import type { CompiledPlan } from '../model/pipeline.ts';

/** The plan as if its repository had no `signing`: signatures are not asked for, and nothing is signed. */
export function withoutSigning(plan: CompiledPlan): CompiledPlan {
  const { signing: _, ...repository } = plan.pipeline.repository;
  return { ...plan, pipeline: { ...plan.pipeline, repository } };
}
