import type { Pipeline, Verb } from './pipeline.ts';

/** The verbs that make a backup. Hooks, copies and verifications would only delay the restore. */
const CAPTURING: readonly Verb[] = ['flush', 'snapshot', 'export', 'upload'];

/** The part of a plan's pipeline that backs up the present state before a restore overwrites it. */
export function safetyPipeline(pipeline: Pipeline): Pipeline {
  return withVerbs(pipeline, CAPTURING);
}

/** The part that exports an existing snapshot. It doesn't wait for the source to come to rest. */
export function historyPipeline(pipeline: Pipeline): Pipeline {
  return withVerbs(
    pipeline,
    CAPTURING.filter((verb) => verb !== 'flush'),
  );
}

function withVerbs(pipeline: Pipeline, verbs: readonly Verb[]): Pipeline {
  const steps = pipeline.steps.filter(({ verb }) => verbs.includes(verb));
  const kept = new Set(steps.map(({ id }) => id));
  return {
    ...pipeline,
    steps: steps.map((step) => ({
      ...step,
      when: 'success' as const,
      needs: step.needs.filter((id) => kept.has(id)),
    })),
  };
}

const MARK = '-safety-';

/** The id of a safety backup, made from an ordinary id (`20261123T034813Z-ab12cd`). */
export function safetyBackupId(backup: string): string {
  return backup.replace('-', MARK);
}

/** Whether an id is that of a safety backup. */
export function isSafetyBackup(backup: string): boolean {
  return backup.includes(MARK);
}
