import type { Pipeline, Verb } from './pipeline.ts';

/** The verbs that a backup needs. Hooks, copies and verifications would only make the restore wait. */
const CAPTURING: readonly Verb[] = ['flush', 'snapshot', 'export', 'upload'];

/** The part of a plan's pipeline that saves what is there, for a backup before a restore overwrites it. */
export function safetyPipeline(pipeline: Pipeline): Pipeline {
  return withVerbs(pipeline, CAPTURING);
}

/** The part that exports a snapshot which is there already: nothing need come to rest before it. */
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

/** The id of a safety backup, from that of an ordinary one (`20261123T034813Z-ab12cd`). */
export function safetyBackupId(backup: string): string {
  return backup.replace('-', MARK);
}

export function isSafetyBackup(backup: string): boolean {
  return backup.includes(MARK);
}
