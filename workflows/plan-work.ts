import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  ApplicationFailure,
  condition,
  getExternalWorkflowHandle,
  isCancellation,
  ParentClosePolicy,
  startChild,
} from '@temporalio/workflow';
import { defined } from '../model/defined.ts';
import { tabletSource } from '../model/engine-kind.ts';
import type { CompiledPlan, UniverseSource } from '../model/pipeline.ts';
import { schedulePolicyOf } from '../planning/off-cluster.ts';
import { desiredSchedules, scheduleIdsOf } from '../planning/schedules.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import type { backup } from './backup.ts';
import { discover } from './discover.ts';
import { describeFailure } from './failures.ts';
import type { inClusterRestore } from './in-cluster-restore.ts';
import type { PlanEntity, Work } from './plan-entity.ts';
import type { Applied, PlanRequest, Revision } from './plan-messages.ts';
import { Refused } from './plan-request-reading.ts';
import type { restore } from './restore.ts';
import { runAttributes, runPriority } from './run-attributes.ts';

/** Does the work that a plan's entity has chosen, one piece at a time, and reports each outcome to it. */

/** Longest time for one piece of work, so that an entity answers within minutes. A failed piece is reported and tried again later. */
const PATIENCE_MS = 2 * 60_000;

/** Lets an `apply` wait until the schedules are written, or until it is known why they can't be. */
export class ScheduleKeeper {
  keepPauses = true;
  #generation = 0;
  #changes: Applied['changes'] = [];
  #failure: { readonly generation: number; readonly error: unknown } | undefined;

  succeeded(generation: number, changes: Applied['changes']): void {
    this.#generation = generation;
    this.#changes = changes;
  }

  failed(generation: number, error: unknown): void {
    this.#failure = { generation, error };
  }

  async reconciled(generation: number): Promise<Applied> {
    await condition(() => this.#generation >= generation || (this.#failure?.generation ?? -1) >= generation);
    if (this.#generation >= generation) return { generation, changes: this.#changes };
    const { code, message } = describeFailure(this.#failure?.error);
    throw ApplicationFailure.nonRetryable(message, code);
  }
}

/** Does one piece of work. Reports its outcome to the entity. */
export async function carryOut(entity: PlanEntity, work: Work, schedules: ScheduleKeeper): Promise<void> {
  const { revision, paused, isRemoved } = entity.state;
  const { name, pipeline } = revision.plan;
  switch (work.do) {
    case 'schedules':
      try {
        const changes = await call('bring schedules in line').reconcileSchedules({
          desired: isRemoved ? [] : desiredSchedules(revision.plan),
          ids: scheduleIdsOf(name),
          plan: name,
          engine: pipeline.source.engine,
          taskQueue: revision.taskQueue,
          ...(paused === undefined ? {} : { paused: paused.reason ?? '' }),
          keepPauses: schedules.keepPauses,
        });
        const inCluster = await inClusterChanges(entity);
        const archive = await archiveChanges(entity);
        entity.schedulesReconciled(work.generation);
        schedules.succeeded(work.generation, [...changes, ...inCluster, ...archive]);
      } catch (error) {
        schedules.failed(work.generation, error);
        entity.refuse('apply', refusalIn(error));
        // In a run that an older release began, the plan does no other work meanwhile.
        if (!entity.schedulesFailed())
          await condition(() => entity.state.generation !== work.generation, 60_000);
      }
      return;
    case 'decide':
      try {
        const { decision, databases } = await call(`decide restore ${work.request.requestId}`).decideRestore({
          repository: pipeline.repository,
          plan: name,
          request: work.request.wish ?? {},
          ...historyOf(revision.plan),
          measurements: entity.state.measurements,
        });
        entity.decided(work.request, decision, databases);
      } catch (error) {
        if (isCancellation(error)) throw error;
        entity.refuseRequest(work.request, refusalIn(error));
      }
      return;
    case 'backup':
      return startRun(entity, work.request, (options) =>
        startChild<typeof backup>('backup', {
          ...options,
          ...runPriority(revision.plan),
          staticSummary: `Backup of ${name} (${pipeline.source.engine}) into ${pipeline.repository.name}${because(work.request.reason)}`,
          args: [work.input],
        }),
      );
    case 'restore':
      return startRun(entity, work.request, (options) =>
        startChild<typeof restore>('restore', {
          ...options,
          staticSummary: `Restore of ${name} from backup ${work.input.from.backup}${because(work.request.reason)}`,
          args: [work.input],
        }),
      );
    case 'goBack':
      return startRun(entity, work.request, (options) =>
        startChild<typeof inClusterRestore>('inClusterRestore', {
          ...options,
          staticSummary: `${work.input.way === 'rewind' ? 'Rewind' : 'Clone'} of ${name} to ${work.input.instant}${because(work.request.reason)}`,
          args: [work.input],
        }),
      );
    case 'cancel':
      try {
        await getExternalWorkflowHandle(work.workflowId).cancel();
      } catch (error) {
        // The run has ended meanwhile, which is what the cancellation wanted.
        if (isCancellation(error)) throw error;
      }
      return entity.cancelled(work.workflowId);
    case 'survey':
      try {
        const { generation } = entity.state;
        const survey = await call('what storage and schedules hold').surveyPlan({
          repository: pipeline.repository,
          plan: name,
          ...historyOf(revision.plan),
        });
        entity.surveyed(survey, generation);
      } catch (error) {
        if (isCancellation(error)) throw error;
        entity.surveyFailed(describeFailure(error).message);
      }
      return;
    case 'discover':
      return discover(entity, () => new Date(Date.now()));
    case 'record':
      try {
        await call(`log: ${work.act.action}`).recordAct({
          repository: pipeline.repository,
          plan: name,
          act: work.act,
        });
      } catch (error) {
        if (isCancellation(error)) throw error;
        const { reason, ...refusal } = refusalIn(error);
        entity.refuse('audit', {
          ...refusal,
          reason: `the ${work.act.action} of ${work.act.by} is not in the log: ${reason}`,
        });
      }
      return entity.recorded();
    case 'look':
      try {
        const { workflowIds } = work;
        const states = await call('look whether the runs still exist').statesOfRuns({ workflowIds });
        entity.looked(
          states
            .filter(({ status }) => status !== 'running')
            .map(({ workflowId, ending = 'unknown to Temporal' }) => ({ workflowId, ending })),
        );
      } catch (error) {
        if (isCancellation(error)) throw error;
        entity.lookFailed();
      }
  }
}

/**
 * Brings the universe's own snapshot schedules in line. A plan that was removed, or that wants no such history, gives its schedules up.
 */
async function inClusterChanges(entity: PlanEntity): Promise<Applied['changes']> {
  const { revision, isRemoved } = entity.state;
  const { name, pipeline, pointTime } = revision.plan;
  const { repository } = pipeline;
  const source = tabletSource(pipeline.source);
  if (source === undefined) return [];
  const changes = await call("bring the universe's snapshot schedules in line").reconcileInCluster({
    repository,
    plan: name,
    source,
    ...(isRemoved ? {} : defined({ policy: schedulePolicyOf(pointTime) })),
  });
  return changes.flatMap(({ namespace, schedule, done }) =>
    done === 'unchanged' ? [] : [{ schedule: `${namespace} (${schedule})`, done: IN_CLUSTER_DONE[done] }],
  );
}

/** Starts, changes or ends the archive of changes. For a plan that never had one, nothing is asked. */
async function archiveChanges(entity: PlanEntity): Promise<Applied['changes']> {
  const { revision, isRemoved, hasArchive } = entity.state;
  const { name, pipeline, pointTime, notify } = revision.plan;
  const policy = isRemoved === true ? undefined : pointTime?.archive;
  const { source, repository, labels } = pipeline;
  if (policy === undefined || source.engine !== 'ysql') {
    if (hasArchive !== true) return [];
    const ended = await call('end the archive of changes').reconcileArchive({
      plan: name,
      taskQueue: revision.taskQueue,
    });
    entity.archiveReconciled(false);
    return ended;
  }
  const wanted = { plan: name, source, repository, policy, labels, ...defined({ notify }) };
  const started = await call('start the archive of changes').reconcileArchive({
    plan: name,
    wanted,
    taskQueue: revision.taskQueue,
  });
  entity.archiveReconciled(true);
  return started;
}

const IN_CLUSTER_DONE = {
  created: 'created',
  adopted: 'updated',
  edited: 'updated',
  deleted: 'deleted',
  released: 'deleted',
} as const;

/** The universe whose own history the planner may use, where the plan has it keep one. */
function historyOf({ pipeline, pointTime }: CompiledPlan): { readonly history?: UniverseSource } {
  const history = pointTime?.inCluster === undefined ? undefined : tabletSource(pipeline.source);
  return history === undefined ? {} : { history };
}

function because(reason: string | undefined): string {
  return reason === undefined ? '' : `: ${reason.slice(0, 150)}`;
}

function call(summary: string) {
  return activitiesFor({ summary, retry: PATIENT_RETRY, timeoutMs: PATIENCE_MS });
}

type RunOptions = ReturnType<typeof runOptions>;

/** Starts a run. If a run with this id exists, an attempt that crashed has started it, and it counts as started. */
async function startRun(
  entity: PlanEntity,
  request: PlanRequest,
  start: (options: RunOptions) => Promise<unknown>,
): Promise<void> {
  try {
    await start(runOptions(entity.state.revision, request));
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
  entity.started(request);
}

function runOptions({ plan, taskQueue }: Revision, { run, options }: PlanRequest) {
  return {
    workflowId: run.workflowId,
    taskQueue: options?.taskQueue ?? taskQueue,
    parentClosePolicy: ParentClosePolicy.ABANDON,
    typedSearchAttributes: runAttributes(plan),
  };
}

/** A refusal in the words that its sender sees. */
export function refusalIn(error: unknown): Refused['refusal'] {
  if (error instanceof Refused) return error.refusal;
  const { code, message } = describeFailure(error);
  return { code, reason: message.replace(/\.$/, ''), remedy: 'Correct it and send the message again.' };
}
