import {
  type Client,
  ScheduleAlreadyRunning,
  type ScheduleDescription,
  ScheduleNotFoundError,
  type ScheduleOptions,
  ScheduleOverlapPolicy,
} from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import type { ScheduleChange, SurveyedSchedule } from '../model/survey.ts';
import { nextRuns } from '../planning/next-runs.ts';
import type { DesiredSchedule } from '../planning/schedules.ts';
import type { ReconcileInput } from './contract.ts';

/**
 * Brings Temporal Schedules in line with what a plan wants. The caller makes sure that nobody else does so for the same plan at the
 * same time.
 */

const planKey = defineSearchAttributeKey('BackupPlan', 'KEYWORD');
const engineKey = defineSearchAttributeKey('BackupEngine', 'KEYWORD');

const OVERLAP: Readonly<Record<DesiredSchedule['overlap'], ScheduleOverlapPolicy>> = {
  skip: ScheduleOverlapPolicy.SKIP,
  buffer: ScheduleOverlapPolicy.BUFFER_ONE,
  cancel: ScheduleOverlapPolicy.CANCEL_OTHER,
  allow: ScheduleOverlapPolicy.ALLOW_ALL,
};

const PAUSED_BY_PLAN = 'paused with its plan (holdfast resume)';

/** Creates, updates and deletes schedules. A schedule that is already as wanted isn't written. Idempotent. */
export async function reconcileSchedules(
  client: Client,
  { desired, ids, plan, engine, taskQueue, paused, keepPauses }: ReconcileInput,
): Promise<readonly ScheduleChange[]> {
  const changes: ScheduleChange[] = [];
  for (const want of desired) {
    const options = optionsOf(want, { plan, engine, taskQueue });
    const current = await findSchedule(client, want.id);
    if (current === undefined) {
      await create(client, { ...options, state: stateOf(undefined, paused, keepPauses) });
      changes.push({ schedule: want.id, done: 'created' });
      continue;
    }
    const state = stateOf(current, paused, keepPauses);
    const isSame =
      differences(current, want, taskQueue).length === 0 &&
      state.paused === current.state.paused &&
      (state.note ?? '') === (current.state.note ?? '');
    if (isSame) continue;
    const { memo: _memo, scheduleId: _id, typedSearchAttributes: _attributes, ...written } = options;
    await client.schedule
      .getHandle(want.id)
      .update((previous) => ({ ...written, state: { ...previous.state, ...state } }));
    changes.push({ schedule: want.id, done: 'updated' });
  }
  for (const id of ids.filter((each) => !desired.some((want) => want.id === each))) {
    if (await remove(client, id)) changes.push({ schedule: id, done: 'deleted' });
  }
  return changes;
}

/** The fields of a schedule that differ from what the plan wants. */
export function differences(
  current: ScheduleDescription,
  want: DesiredSchedule,
  taskQueue: string,
): readonly { readonly field: string; readonly is: unknown; readonly should: unknown }[] {
  const wanted = flatten(specOf(want, taskQueue));
  const found = flatten(foundIn(current));
  return [...new Set([...found.keys(), ...wanted.keys()])]
    .filter((field) => found.get(field) !== wanted.get(field))
    .map((field) => ({ field, is: parsed(found.get(field)), should: parsed(wanted.get(field)) }))
    .concat(timesDiffer(current, want));
}

/**
 * The memo's cron lines stay as they are where somebody changes the times by hand in the Temporal UI. So the server's next times are compared with those of the
 * plan. A schedule whose next times the server doesn't tell is taken as it says.
 */
function timesDiffer(
  { info: { nextActionTimes } }: ScheduleDescription,
  want: DesiredSchedule,
): readonly { readonly field: string; readonly is: unknown; readonly should: unknown }[] {
  const [first] = nextActionTimes;
  if (first === undefined) return [];
  const is = nextActionTimes.map((time) => time.toISOString());
  // From the server's first time on, so that no time passes between the two looks.
  const should = nextRuns(want, new Date(first.getTime() - 1), is.length).map((time) => time.toISOString());
  const isSame = is.every((time, place) => time === should[place]);
  return isSame
    ? []
    : [{ field: 'times', is: is.slice(0, TIMES_SHOWN), should: should.slice(0, TIMES_SHOWN) }];
}

const TIMES_SHOWN = 3;

/** A schedule by its id. Undefined where there is none. */
export async function findSchedule(client: Client, id: string): Promise<ScheduleDescription | undefined> {
  try {
    return await client.schedule.getHandle(id).describe();
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return undefined;
    throw error;
  }
}

/** The state of the schedules with these ids, and the next five times of each. Leaves out ids without a schedule. */
export async function surveySchedules(
  client: Client,
  ids: readonly string[],
): Promise<readonly SurveyedSchedule[]> {
  const found = await Promise.all(ids.map((id) => findSchedule(client, id)));
  return found.flatMap((schedule) =>
    schedule === undefined
      ? []
      : [
          {
            id: schedule.scheduleId,
            paused: schedule.state.paused,
            ...(schedule.state.note ? { note: schedule.state.note } : {}),
            next: schedule.info.nextActionTimes.slice(0, 5).map((time) => time.toISOString()),
          },
        ],
  );
}

interface Place {
  readonly plan: string;
  readonly engine: string;
  readonly taskQueue: string;
}

/**
 * The options of a schedule. Temporal turns cron lines into calendars when a schedule is written, and returns only those. So the memo
 * of the action keeps the lines, to be compared later.
 */
function optionsOf(want: DesiredSchedule, { plan, engine, taskQueue }: Place): ScheduleOptions {
  const typedSearchAttributes = attributesOf(plan, engine);
  return {
    scheduleId: want.id,
    spec: { cronExpressions: [...want.cron], timezone: want.timezone },
    action: {
      type: 'startWorkflow',
      workflowType: want.start.workflowType,
      workflowId: want.start.workflowId,
      args: [...want.start.args],
      taskQueue,
      typedSearchAttributes,
      staticSummary: want.start.summary,
      memo: { cron: [...want.cron] },
      ...priorityOption(want.start.priority),
    },
    policies: { overlap: OVERLAP[want.overlap], catchupWindow: want.catchUpMs },
    typedSearchAttributes,
  };
}

/** The search attributes by which what belongs to a plan is found. */
export function attributesOf(plan: string, engine: string) {
  return [
    { key: planKey, value: plan },
    { key: engineKey, value: engine },
  ];
}

function specOf(want: DesiredSchedule, taskQueue: string): Readonly<Record<string, unknown>> {
  return {
    cron: want.cron,
    timezone: want.timezone,
    overlap: OVERLAP[want.overlap],
    catchUpMs: want.catchUpMs,
    workflowType: want.start.workflowType,
    args: want.start.args,
    taskQueue,
    priority: want.start.priority,
  };
}

/** The SDK sends the priority of a schedule's action and reads it back, though its types don't name it (1.24). */
function priorityOption(priority: number | undefined): object {
  return priority === undefined ? {} : { priority: { priorityKey: priority } };
}

function priorityIn(action: object): number | undefined {
  const priority = 'priority' in action ? action.priority : undefined;
  if (typeof priority !== 'object' || priority === null || !('priorityKey' in priority)) return undefined;
  const { priorityKey } = priority;
  // Zero is "none" in Temporal's messages.
  return typeof priorityKey === 'number' && priorityKey > 0 ? priorityKey : undefined;
}

function foundIn({ spec, action, policies }: ScheduleDescription): Readonly<Record<string, unknown>> {
  return {
    cron: action.memo?.cron ?? [],
    timezone: spec.timezone ?? 'UTC',
    overlap: policies.overlap,
    catchUpMs: policies.catchupWindow,
    workflowType: action.workflowType,
    args: action.args ?? [],
    taskQueue: action.taskQueue,
    priority: priorityIn(action),
  };
}

function stateOf(
  current: ScheduleDescription | undefined,
  paused: string | undefined,
  keepPauses: boolean,
): { readonly paused: boolean; readonly note?: string } {
  if (paused !== undefined)
    return { paused: true, note: `${PAUSED_BY_PLAN}${paused === '' ? '' : `: ${paused}`}` };
  const byHand = current?.state.paused === true && !current.state.note?.startsWith(PAUSED_BY_PLAN);
  if (byHand && keepPauses)
    return { paused: true, ...(current.state.note ? { note: current.state.note } : {}) };
  return { paused: false, note: '' };
}

async function create(client: Client, options: ScheduleOptions): Promise<void> {
  try {
    await client.schedule.create(options);
  } catch (error) {
    // An earlier attempt of this activity created it.
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
  }
}

async function remove(client: Client, id: string): Promise<boolean> {
  try {
    await client.schedule.getHandle(id).delete();
    return true;
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return false;
    throw error;
  }
}

/** The leaves of a tree by path, as texts that can be compared. */
function flatten(value: unknown, path = '', into = new Map<string, string>()): Map<string, string> {
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value);
    if (entries.length === 0) into.set(path, JSON.stringify(value));
    for (const [name, inner] of entries) {
      if (inner !== undefined) flatten(inner, path === '' ? name : `${path}.${name}`, into);
    }
  } else into.set(path, JSON.stringify(value));
  return into;
}

function parsed(text: string | undefined): unknown {
  return text === undefined ? null : JSON.parse(text);
}
