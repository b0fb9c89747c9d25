import type { Client } from '@temporalio/client';
import { differences, findSchedule } from '../../activities/schedules.ts';
import { describeError, type ErrorDocument } from '../../library/errors.ts';
import { findEntity, listedPlans, type PlanEntityView } from '../../library/plan-entities.ts';
import { defined } from '../../model/defined.ts';
import type { CompiledPlan, Discovered } from '../../model/pipeline.ts';
import { nextRuns } from '../../planning/next-runs.ts';
import { type DesiredSchedule, desiredSchedules, scheduleIdsOf } from '../../planning/schedules.ts';
import { mapBounded } from '../../repository/bounded.ts';
import { isOfTheServer } from './apply-each.ts';
import { changedSteps, type FieldChange, planChanges } from './diff.ts';
import { checkRepository } from './repository-check.ts';
import { type RetentionPreview, retentionPreview } from './retention-preview.ts';

/** What `apply` would do to one plan. Field names are those of `apply --json`. */
export interface PlanChange {
  readonly plan: string;
  /** `failed`: it isn't known what would change, so nothing of the plan is changed. `error` says why. */
  readonly action: 'add' | 'change' | 'remove' | 'keep' | 'none' | 'failed';
  readonly error?: ErrorDocument;
  /** One sentence, where the action needs one. */
  readonly note?: string;
  readonly fields: readonly FieldChange[];
  /** Ids of the steps that differ. */
  readonly steps: readonly string[];
  readonly schedules: readonly ScheduleDiff[];
  /** What the new retention would delete now. Absent where the retention doesn't change. */
  readonly retention?: RetentionPreview;
  /** What happens to the archive of changes in the source. Absent where it stays as it is. */
  readonly archive?: 'begin' | 'end';
}

/** What `apply` would do to one schedule. */
export interface ScheduleDiff {
  readonly schedule: string;
  readonly action: 'add' | 'change' | 'remove' | 'none';
  /** True: the plan is the same, so somebody has changed the schedule by hand. */
  readonly drifted: boolean;
  readonly fields: readonly FieldChange[];
  readonly paused: boolean;
  /**
   * Present where somebody paused it in the UI, not by the plan's `pause`. It stays paused unless the command has `--no-keep-pauses`.
   */
  readonly pausedByHand?: true;
  readonly timezone?: string;
  /** The next five times at which it fires, ISO 8601 in UTC. */
  readonly next: readonly string[];
}

interface Wishes {
  readonly set: string;
  /** The task queue of the worker that is to serve a plan. */
  readonly queueOf: (plan: CompiledPlan) => Promise<string>;
  readonly prune: boolean;
  /** True: also plans that another one found and whose databases are gone. */
  readonly gone: boolean;
  readonly keepPauses: boolean;
  readonly newRepository: boolean;
}

/** Plans that are looked at at once. Each has two questions to the worker, which must be answered within 30 s, on a busy machine too. */
const PLANS_AT_ONCE = 8;

/** A change, with what is needed to make it. */
export interface Planned extends PlanChange {
  readonly wanted?: CompiledPlan;
  /** Generation of the entity that the change was computed against. */
  readonly after: number;
  /** Task queue on which the plan will run. Absent for a plan that is removed or kept. */
  readonly taskQueue?: string;
  /** True: the plan is removed only because its database is gone, while the plan that found it stays. */
  readonly asGone?: true;
}

/**
 * Compares plan files with what Temporal holds. Changes nothing. A plan that can't be compared (`ANOTHER_REPOSITORY`, an entity without
 * a worker) gets the action `failed`. Throws only errors that concern all plans, such as a server that doesn't answer.
 */
export async function plannedChanges(
  client: Client,
  plans: readonly CompiledPlan[],
  wishes: Wishes,
): Promise<readonly Planned[]> {
  const changes = mapBounded(plans, PLANS_AT_ONCE, (plan) =>
    orFailed(plan.name, () => changeOf(client, plan, wishes)),
  );
  const wanted = new Set(plans.map(({ name }) => name));
  const finders = new Set(plans.flatMap(({ name, discover }) => (discover === undefined ? [] : name)));
  const others = (await listedPlans(client)).filter((name) => !wanted.has(name));
  const leftovers = mapBounded(others, PLANS_AT_ONCE, (name) =>
    orFailed(name, async () => {
      const entity = await findEntity(client, name);
      if (entity?.status.set !== wishes.set) return undefined;
      const { discovered } = entity.revision.plan;
      if (discovered === undefined || !finders.has(discovered.by)) return leftover(client, entity, wishes);
      const isKept = !wishes.prune || !wishes.gone || discovered.goneSince === undefined;
      if (isKept) return ofAFinder(name, discovered);
      return { ...(await leftover(client, entity, wishes)), asGone: true as const };
    }),
  );
  return [
    ...(await Array.fromAsync(changes)),
    ...(await Array.fromAsync(leftovers)).filter((found) => found !== undefined),
  ];
}

/** The changes where nothing was ever applied: everything is new. */
export function allNew(plans: readonly CompiledPlan[]): readonly Planned[] {
  return plans.map((plan) => ({
    plan: plan.name,
    action: 'add',
    fields: [],
    steps: [],
    schedules: desiredSchedules(plan).map((want) => ({
      schedule: want.id,
      action: 'add',
      drifted: false,
      fields: [],
      paused: false,
      timezone: want.timezone,
      next: previewOf(want),
    })),
    after: 0,
  }));
}

async function orFailed<T>(plan: string, look: () => Promise<T>): Promise<T | Planned> {
  try {
    return await look();
  } catch (failure) {
    const error = describeError(failure);
    if (isOfTheServer(error)) throw failure;
    return { plan, action: 'failed', error, fields: [], steps: [], schedules: [], after: 0 };
  }
}

async function changeOf(client: Client, plan: CompiledPlan, wishes: Wishes): Promise<Planned> {
  const entity = await findEntity(client, plan.name);
  if (entity !== undefined && !wishes.newRepository) await checkRepository(plan, entity);
  const taskQueue = await wishes.queueOf(plan);
  const placed = [
    ...(entity === undefined ? [] : fieldOf('set', entity.status.set, wishes.set)),
    ...(entity === undefined ? [] : fieldOf('taskQueue', entity.status.taskQueue, taskQueue)),
    ...(entity?.status.repositoryId && wishes.newRepository
      ? [{ field: 'repository.id', from: entity.status.repositoryId, to: 'what is there now' }]
      : []),
  ];
  const fields = [...planChanges(entity?.revision.plan, plan), ...placed];
  const isSame = fields.length === 0;
  const schedules = await scheduleDiffs(client, plan, entity, { ...wishes, taskQueue }, isSame);
  const isChanged = !isSame || schedules.some(({ action }) => action !== 'none');
  const retention = fields.some(({ field }) => field.startsWith('retention'))
    ? await retentionPreview(plan)
    : undefined;
  return {
    plan: plan.name,
    action: entity === undefined ? 'add' : isChanged ? 'change' : 'none',
    fields,
    steps: changedSteps(fields),
    schedules,
    ...defined({ retention, archive: archiveChange(entity?.revision.plan, plan) }),
    wanted: plan,
    after: entity?.status.generation ?? 0,
    taskQueue,
  };
}

/** A plan that no file has and that stays all the same, since a plan with `discover` found it and keeps it in line. */
function ofAFinder(plan: string, { by, database, goneSince }: Discovered): Planned {
  const gone =
    goneSince === undefined
      ? ''
      : `, which is gone since ${goneSince}; its backups stay. --prune --gone removes the plan`;
  const note = `discovered by ${by} for the database ${database}${gone}`;
  return { plan, action: 'none', note, fields: [], steps: [], schedules: [], after: 0 };
}

async function leftover(
  client: Client,
  { status, revision }: PlanEntityView,
  { prune }: Wishes,
): Promise<Planned> {
  const ids = scheduleIdsOf(status.plan);
  const found = await Promise.all(ids.map((id) => findSchedule(client, id)));
  const runs = status.running.map(({ workflowId }) => workflowId);
  return {
    plan: status.plan,
    action: prune ? 'remove' : 'keep',
    note: prune
      ? runs.length === 0
        ? 'its backups stay in the repository'
        : `its backups stay in the repository; ${runs.join(', ')} runs on to its end`
      : 'has no file; --prune removes it',
    fields: prune ? planChanges(revision.plan, undefined) : [],
    ...defined({ archive: prune ? archiveChange(revision.plan, undefined) : undefined }),
    steps: [],
    schedules: found.flatMap((schedule) =>
      schedule === undefined
        ? []
        : [
            {
              schedule: schedule.scheduleId,
              action: prune ? ('remove' as const) : ('none' as const),
              drifted: false,
              fields: [],
              paused: schedule.state.paused,
              next: [],
            },
          ],
    ),
    after: status.generation,
  };
}

function archiveChange(from: CompiledPlan | undefined, to: CompiledPlan | undefined): PlanChange['archive'] {
  const [was, is] = [from, to].map((plan) => plan?.pointTime?.archive !== undefined);
  if (was === is) return undefined;
  return is ? 'begin' : 'end';
}

async function scheduleDiffs(
  client: Client,
  plan: CompiledPlan,
  entity: PlanEntityView | undefined,
  { taskQueue, keepPauses }: Wishes & { readonly taskQueue: string },
  isSame: boolean,
): Promise<readonly ScheduleDiff[]> {
  const desired = desiredSchedules(plan);
  const ids = scheduleIdsOf(plan.name);
  const found = await Promise.all(ids.map((id) => findSchedule(client, id)));
  const currentOf = new Map(ids.map((id, place) => [id, found[place]]));
  const diffs: ScheduleDiff[] = [];
  for (const want of desired) {
    const current = currentOf.get(want.id);
    const byHand = current?.state.paused === true && entity?.status.paused === null;
    const fields = [
      ...(current === undefined
        ? []
        : differences(current, want, taskQueue).map(({ field, is, should }) => ({
            field,
            from: is,
            to: should,
          }))),
      ...(byHand && !keepPauses ? fieldOf('paused', true, false) : []),
    ];
    diffs.push({
      schedule: want.id,
      action: current === undefined ? 'add' : fields.length === 0 ? 'none' : 'change',
      drifted: entity !== undefined && isSame && (current === undefined || fields.length > 0),
      fields: fields.map(shortened),
      paused: current?.state.paused === true,
      ...(byHand && keepPauses ? { pausedByHand: true } : {}),
      timezone: want.timezone,
      next: previewOf(want),
    });
  }
  for (const id of ids.filter((each) => !desired.some((want) => want.id === each))) {
    const current = currentOf.get(id);
    if (current === undefined) continue;
    const rest = { fields: [], paused: current.state.paused, next: [] };
    diffs.push({ schedule: id, action: 'remove', drifted: isSame, ...rest });
  }
  return diffs;
}

function previewOf(want: DesiredSchedule): readonly string[] {
  return nextRuns(want, new Date(), 5).map((time) => time.toISOString());
}

function fieldOf(field: string, from: unknown, to: unknown): readonly FieldChange[] {
  return from === to ? [] : [{ field, from, to }];
}

/** Shows only the difference of a schedule's arguments, under the plan's own field names. */
function shortened(change: FieldChange): FieldChange {
  if (!change.field.startsWith('args')) return change;
  return { ...change, field: change.field.replace(/^args\.0\./, '') };
}
