import type { CompiledPlan } from '../model/pipeline.ts';

/** The plan without `signing` in its repository: no signature is required, and nothing is signed. */
export function withoutSigning(plan: CompiledPlan): CompiledPlan {
  const { signing: _, ...repository } = plan.pipeline.repository;
  return { ...plan, pipeline: { ...plan.pipeline, repository } };
}
