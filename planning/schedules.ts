import type { CompiledPlan, Schedule } from '../model/pipeline.ts';

/** A Temporal Schedule as a plan wants it. */
export interface DesiredSchedule {
  /** `backup:<plan>` and its like. */
  readonly id: string;
  readonly cron: readonly string[];
  readonly timezone: string;
  readonly overlap: Schedule['overlap'];
  /** A run that was due while Temporal was away is made up for until so long afterwards; Temporal's own default is a year. */
  readonly catchUpMs: number;
  /** What it starts; Temporal adds the time to the workflow's id. */
  readonly start: {
    readonly workflowType: string;
    readonly workflowId: string;
    readonly args: readonly unknown[];
    /** One line in the Temporal UI. */
    readonly summary: string;
  };
}

const CATCH_UP_MS = 6 * 3_600_000;

/** Every schedule that a plan wants: the one list that `apply` reconciles, prunes and previews by. */
export function desiredSchedules(plan: CompiledPlan): readonly DesiredSchedule[] {
  return [...backups(plan)];
}

function backups({ name, pipeline, schedule }: CompiledPlan): readonly DesiredSchedule[] {
  if (schedule === undefined) return [];
  return [
    {
      id: `backup:${name}`,
      cron: schedule.cron,
      timezone: schedule.timezone,
      overlap: schedule.overlap,
      catchUpMs: CATCH_UP_MS,
      start: {
        workflowType: 'backup',
        workflowId: `backup:${name}`,
        args: [{ pipeline }],
        summary: `Scheduled backup of ${name} (${pipeline.source.engine}) into ${pipeline.repository.name}`,
      },
    },
  ];
}

/** The ids of all schedules that a plan may have, also those that it wants no more. */
export function scheduleIdsOf(plan: string): readonly string[] {
  return SCHEDULED.map((kind) => `${kind}:${plan}`);
}

const SCHEDULED = ['backup', 'prune', 'drill'] as const;
