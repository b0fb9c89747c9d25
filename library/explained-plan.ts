import type { ValueOrigin } from '../compiler/origins.ts';
import { ARTIFACT_IN_WORDS } from '../compiler/verbs.ts';
import { defined } from '../model/defined.ts';
import type { DrillSpec } from '../model/drill.ts';
import type { NotifyTarget } from '../model/notification.ts';
import type { Artifact, CompiledPlan, Retention, RetryPolicy, Schedule, Step } from '../model/pipeline.ts';
import { DEFAULT_TASK_QUEUE, readPointQueue } from '../model/task-queue.ts';
import type { TransferWindow } from '../model/transfer-window.ts';

/** One step as it will run. Field names are those of `explain --json`. */
export interface ExplainedStep {
  readonly step: string;
  readonly verb: Step['verb'];
  /** The names of its activities, in the order in which they first start. */
  readonly activities: readonly string[];
  readonly queue: string;
  readonly when: Step['when'];
  readonly needs: readonly string[];
  readonly inputs: Step['inputs'];
  readonly output: Artifact | null;
  readonly retry: RetryPolicy;
  readonly timeoutMs: number;
  readonly parallelism: number;
}

/** A plan in Temporal's terms. Field names are those of `explain --json`. */
export interface ExplainedPlan {
  readonly plan: string;
  readonly file: string;
  readonly hash: string;
  readonly source: CompiledPlan['pipeline']['source'];
  readonly repository: CompiledPlan['pipeline']['repository'];
  readonly schedule: Schedule | null;
  readonly window: TransferWindow | null;
  readonly priority: number | null;
  readonly retention: Retention | null;
  readonly drill: DrillSpec | null;
  readonly notify: readonly NotifyTarget[];
  /** Present where each database becomes a plan of its own. */
  readonly discover?: CompiledPlan['discover'];
  /** Present where another plan finds this one's database. */
  readonly discovered?: CompiledPlan['discovered'];
  readonly steps: readonly ExplainedStep[];
  /** Where each value that the plan is made of came from. */
  readonly values: readonly ValueOrigin[];
}

/**
 * What a plan's run does in Temporal's terms.
 *
 * @param values where each value of the plan came from
 * @param queue the task queue of its worker
 */
export function explainPlan(
  plan: CompiledPlan,
  values: readonly ValueOrigin[],
  queue = DEFAULT_TASK_QUEUE,
): ExplainedPlan {
  const { name, file, pipeline, schedule, window, priority, retention, drill, notify } = plan;
  return {
    plan: name,
    file,
    hash: pipeline.hash,
    source: pipeline.source,
    repository: pipeline.repository,
    schedule: schedule ?? null,
    window: window ?? null,
    priority: priority ?? null,
    retention: retention ?? null,
    drill: drill ?? null,
    notify: notify ?? [],
    ...defined({ discover: plan.discover, discovered: plan.discovered }),
    steps: pipeline.steps.map((step) => ({
      step: step.id,
      verb: step.verb,
      activities: activitiesOf(step),
      queue: step.verb === 'snapshot' ? readPointQueue(queue) : queue,
      when: step.when,
      needs: step.needs,
      inputs: step.inputs,
      output: step.output ?? null,
      retry: step.retry,
      timeoutMs: step.timeoutMs,
      parallelism: step.parallelism,
    })),
    values,
  };
}

function activitiesOf(step: Step): readonly string[] {
  if (step.verb === 'upload') return ['upload', 'seal'];
  if (step.verb === 'verify' && step.options.level === 'restore') {
    return ['planRestore', 'prepareRestore', 'load', 'postData', 'finishRestore', 'recordVerification'];
  }
  return [step.verb];
}

/** An artifact without its article: `read point`. */
export function artifactName(artifact: Artifact): string {
  return ARTIFACT_IN_WORDS[artifact].replace(/^an? /, '');
}
