import { defined } from '../model/defined.ts';
import type { CompiledPlan, Schedule } from '../model/pipeline.ts';
import { drillInput } from './drill.ts';
import { exportTimesOf, offClusterInput } from './off-cluster.ts';
import { pruneInputOf, pruneTimesOf } from './prune.ts';

/** A Temporal Schedule as a plan wants it. */
export interface DesiredSchedule {
  /** `backup:<plan>`, for example. */
  readonly id: string;
  readonly cron: readonly string[];
  readonly timezone: string;
  readonly overlap: Schedule['overlap'];
  /** A run that was missed while Temporal was down still starts if it is at most this late. Temporal's own default is a year. */
  readonly catchUpMs: number;
  /** The workflow that it starts. Temporal appends the time to the workflow's id. */
  readonly start: {
    readonly workflowType: string;
    readonly workflowId: string;
    readonly args: readonly unknown[];
    /** One line in the Temporal UI. */
    readonly summary: string;
    /** Temporal's priority key. Its activities and children inherit it. */
    readonly priority?: number;
  };
}

const CATCH_UP_MS = 6 * 3_600_000;
const MINUTE_MS = 60_000;

/** All schedules that a plan wants. `apply`, prunes and previews use this one list. */
export function desiredSchedules(plan: CompiledPlan): readonly DesiredSchedule[] {
  // Retention too stands still for a database that is gone, so that its last backups stay.
  if (plan.discover !== undefined || plan.discovered?.goneSince !== undefined) return [];
  const wanted = [...backups(plan), ...prunes(plan), ...drills(plan), ...exports(plan)];
  const { priority } = plan;
  return priority === undefined
    ? wanted
    : wanted.map((each) => ({ ...each, start: { ...each.start, priority } }));
}

function backups({ name, pipeline, schedule, window, notify }: CompiledPlan): readonly DesiredSchedule[] {
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
        args: [{ pipeline, ...defined({ notify, window }) }],
        summary: `Scheduled backup of ${name} (${pipeline.source.engine}) into ${pipeline.repository.name}`,
      },
    },
  ];
}

function prunes(plan: CompiledPlan): readonly DesiredSchedule[] {
  const times = pruneTimesOf(plan);
  if (times === undefined) return [];
  const id = `prune:${plan.name}`;
  const start = {
    workflowType: 'prune',
    workflowId: id,
    args: [pruneInputOf(plan)],
    summary: `Scheduled retention of ${plan.name}`,
  };
  return [{ id, ...times, overlap: 'skip', catchUpMs: CATCH_UP_MS, start }];
}

function drills(plan: CompiledPlan): readonly DesiredSchedule[] {
  const times = plan.drill?.schedule;
  if (times === undefined) return [];
  const id = `drill:${plan.name}`;
  const start = {
    workflowType: 'drill',
    workflowId: id,
    args: [drillInput(plan)],
    summary: `Scheduled drill of ${plan.name}`,
  };
  const { cron, timezone, overlap } = times;
  return [{ id, cron, timezone, overlap, catchUpMs: CATCH_UP_MS, start }];
}

function exports(plan: CompiledPlan): readonly DesiredSchedule[] {
  const cron = exportTimesOf(plan);
  if (cron === undefined) return [];
  const id = `off-cluster:${plan.name}`;
  const start = {
    workflowType: 'offCluster',
    workflowId: id,
    args: [offClusterInput(plan)],
    summary: `Export of the history of ${plan.name}`,
  };
  // The next run exports what a missed run would have exported.
  return [{ id, cron, timezone: 'UTC', overlap: 'skip', catchUpMs: MINUTE_MS, start }];
}

/** Ids of all schedules that a plan may have, also of those that it no longer wants. */
export function scheduleIdsOf(plan: string): readonly string[] {
  return SCHEDULED.map((kind) => `${kind}:${plan}`);
}

const SCHEDULED = ['backup', 'prune', 'drill', 'off-cluster'] as const;
