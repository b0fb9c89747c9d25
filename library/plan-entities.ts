import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { applyPlanTo } from '../activities/apply-plan.ts';
import { isPolled } from '../activities/pollers.ts';
import { isFailureDetails, messageOf, permanent, transient } from '../model/errors.ts';
import type { Discovered } from '../model/pipeline.ts';
import { newPlanState } from '../workflows/plan-entity.ts';
import {
  type Application,
  type Applied,
  forgetDatabase,
  type PersonsMessage,
  type PlanStatus,
  personsUpdate,
  planRevision,
  planStatus,
  planWorkflowId,
  type Receipt,
  type Revision,
  removePlan,
} from '../workflows/plan-messages.ts';

/** How commands talk to the entities of plans. */

/** How long a command waits for a worker. Temporal itself would wait for ever. */
const ANSWER_WITHIN_MS = 30_000;
const LOOK_EVERY_MS = 500;

/** A plan's entity as a command sees it. */
export interface PlanEntityView {
  readonly status: PlanStatus;
  readonly revision: Revision;
}

/** A plan's entity. Undefined if the plan isn't applied. Throws `NO_WORKER` (transient) if no worker answers for it. */
export async function findEntity(client: Client, plan: string): Promise<PlanEntityView | undefined> {
  if (!(await isApplied(client, plan))) return undefined;
  const handle = client.workflow.getHandle(planWorkflowId(plan));
  return answer(client, plan, async () => ({
    status: await handle.query(planStatus),
    revision: await handle.query(planRevision),
  }));
}

/** Whether a plan is applied: its entity runs. */
export async function isApplied(client: Client, plan: string): Promise<boolean> {
  try {
    const { status } = await client.workflow.getHandle(planWorkflowId(plan)).describe();
    return status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/** Names of all plans that are applied, sorted. */
export async function appliedPlans(client: Client): Promise<readonly string[]> {
  const names: string[] = [];
  for (const name of await listedPlans(client)) if (await isApplied(client, name)) names.push(name);
  return names;
}

/** Names of all plans that Temporal's list shows as applied, sorted. The list may be late: one that was just removed may still be in it. */
export async function listedPlans(client: Client): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const run of client.workflow.list({
    query: 'WorkflowType="plan" AND ExecutionStatus="Running"',
  })) {
    names.push(run.workflowId.slice(planWorkflowId('').length));
  }
  return names.sort();
}

/** Applies a plan, and starts its entity if there is none. Returns when its schedules are in line. */
export function applyToEntity(client: Client, application: Application): Promise<Applied> {
  const { revision } = application;
  const { name } = revision.plan;
  const state = newPlanState(revision, new Date().toISOString());
  return answer(client, name, () =>
    applyPlanTo<Applied>(client, { workflowId: planWorkflowId(name), state, application }),
  );
}

/** Ends a plan's entity and deletes its schedules. Throws `PLAN_NOT_APPLIED` (permanent), `NO_WORKER` (transient). */
export function removeEntity(client: Client, plan: string): Promise<Applied> {
  return answer(client, plan, () =>
    client.workflow.getHandle(planWorkflowId(plan)).executeUpdate(removePlan),
  );
}

/**
 * Removes the plan of a database that is gone. The plan that found it forgets the database first, so that it can't make the plan anew.
 *
 * @throws HoldfastError `DATABASE_IS_BACK` (permanent) where the database is there again, or the plan has a file of its own; as `removeEntity` otherwise
 */
export async function removeGone(client: Client, plan: string): Promise<Applied> {
  const entity = await findEntity(client, plan);
  if (entity === undefined) throw notApplied(plan);
  const { discovered } = entity.revision.plan;
  if (discovered?.goneSince === undefined) {
    throw permanent(
      'DATABASE_IS_BACK',
      `plan ${plan} was to be removed as that of a database that is gone, which it is no longer`,
      'Nothing was removed. Run apply again; it shows what there is to change now.',
    );
  }
  await forget(client, discovered);
  return removeEntity(client, plan);
}

/** Nothing where the plan that found the database isn't applied. */
async function forget(client: Client, { by, database }: Discovered): Promise<void> {
  try {
    await client.workflow.getHandle(planWorkflowId(by)).signal(forgetDatabase, database);
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  }
}

/** Sends the entity one of the messages that people send. Throws at once if the entity refuses it. */
export function sendToEntity(
  client: Client,
  plan: string,
  message: PersonsMessage,
  argument: object,
): Promise<Receipt> {
  return answer(client, plan, () =>
    client.workflow
      .getHandle(planWorkflowId(plan))
      .executeUpdate(personsUpdate(message), { args: [argument] }),
  );
}

/** The error for a plan that must be applied and isn't. */
export function notApplied(plan: string, remedy = 'Apply it: holdfast apply.') {
  return permanent(
    'PLAN_NOT_APPLIED',
    `plan ${plan} is not applied, so nothing of it waits or runs by itself`,
    remedy,
  );
}

async function answer<T>(client: Client, plan: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await client.withDeadline(Date.now() + ANSWER_WITHIN_MS, ask);
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError && error.cause instanceof ApplicationFailure) {
      const [details] = error.cause.details ?? [];
      const { message, type } = error.cause;
      throw isFailureDetails(details)
        ? permanent(type ?? 'REFUSED', details.problem, details.remedy, error)
        : permanent(type ?? 'REFUSED', message, 'Mend that and run the command again.', error);
    }
    if (error instanceof WorkflowNotFoundError) throw notApplied(plan);
    if (isDeadline(error)) throw await noAnswer(client, plan, error);
    if (isStuck(error)) throw stuck(plan, error);
    throw error;
  }
}

/**
 * The error for an entity that doesn't answer. It names the entity's own task queue: the entity stays there until a worker of
 * that queue moves it.
 */
async function noAnswer(client: Client, plan: string, error: unknown) {
  const workflowId = planWorkflowId(plan);
  const { taskQueue } = await client.workflow.getHandle(workflowId).describe();
  return transient(
    'NO_WORKER',
    `no worker answered for plan ${plan} within ${ANSWER_WITHIN_MS / 1000} s; its entity is on the task queue ${taskQueue}`,
    `Start one: HOLDFAST_TASK_QUEUE=${taskQueue} holdfast worker. Where there is to be none any more, terminate the workflow ${workflowId}, and apply again.`,
    error,
  );
}

/**
 * Waits for a worker that polls the queue. Throws `NO_WORKER` (transient), so that nothing is started that no worker would take.
 */
export async function awaitWorker(client: Client, taskQueue: string): Promise<void> {
  const deadline = Date.now() + ANSWER_WITHIN_MS;
  for (;;) {
    if (await isPolled(client, taskQueue)) return;
    if (Date.now() > deadline) {
      throw transient(
        'NO_WORKER',
        `no worker polls the task queue ${taskQueue}, so nothing was changed`,
        `Start one: HOLDFAST_TASK_QUEUE=${taskQueue} holdfast worker; then run the command again.`,
      );
    }
    await sleep(LOOK_EVERY_MS);
  }
}

function stuck(plan: string, error: unknown) {
  const workflowId = planWorkflowId(plan);
  return permanent(
    'ENTITY_STUCK',
    `the entity of plan ${plan} can't go on: its workers fail over its history`,
    `Read the worker's log, and run workers of the version that the entity was begun with. If that is not possible, terminate the workflow ${workflowId} and apply again: backups and running restores are not touched.`,
    error,
  );
}

/** True if the server or the client has stopped waiting. */
function isDeadline(error: unknown): boolean {
  return textsOf(error).some((text) => /deadline|timed? ?out|no poller/i.test(text));
}

function isStuck(error: unknown): boolean {
  return textsOf(error).some((text) => /workflow task in failed state/i.test(text));
}

function textsOf(error: unknown): readonly string[] {
  return [error, error instanceof Error ? error.cause : undefined].map(messageOf);
}
