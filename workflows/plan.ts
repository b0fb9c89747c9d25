import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  ApplicationFailure,
  allHandlersFinished,
  condition,
  getExternalWorkflowHandle,
  isCancellation,
  makeContinueAsNewFunc,
  metricMeter,
  ParentClosePolicy,
  setCurrentDetails,
  setDefaultSignalHandler,
  setHandler,
  startChild,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import type { CompiledPlan, UniverseSource } from '../model/pipeline.ts';
import { desiredSchedules, scheduleIdsOf } from '../planning/schedules.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import type { backup } from './backup.ts';
import { describeFailure } from './failures.ts';
import type { inClusterRestore } from './in-cluster-restore.ts';
import { tell } from './notify.ts';
import { PlanEntity, Refused, type Work } from './plan-entity.ts';
import {
  type Application,
  type Applied,
  applyPlan,
  catalogueChanged,
  DESCRIPTIONS,
  isRunReport,
  PERSONS_MESSAGES,
  type PlanState,
  personsSignal,
  personsUpdate,
  planRevision,
  planStatus,
  ran,
  recoveryWindow,
  removePlan,
} from './plan-messages.ts';
import { renderPlan } from './plan-page.ts';
import type { restore } from './restore.ts';
import { runAttributes } from './run-attributes.ts';
import { isUndecodable } from './tolerant-converter.ts';

const HISTORY_EVENTS = 2_000;

/** A flood of refusals is told of once in this time: the newest, and how many there were. */
const REFUSALS_TOLD_EVERY_MS = 60_000;

/** An entity answers within minutes, whatever its repository does; what fails is told and tried again later. */
const PATIENCE_MS = 2 * 60_000;

/**
 * One plan, for years: takes what people send, starts backups and restores one way only, keeps the plan's schedules in line,
 * and shows on its page what can be restored. Its runs are abandoned children, so that nothing of this workflow's own fate
 * touches them; they report by `ran`. The logic is in `PlanEntity`.
 */
export async function plan(state: PlanState): Promise<void> {
  const entity = new PlanEntity(state, {
    now: () => new Date(Date.now()),
    digits: (count) => uuid4().replaceAll('-', '').slice(0, count),
  });
  let news = true;
  const heard = () => {
    news = true;
  };
  const schedules = new ScheduleKeeper();

  for (const name of PERSONS_MESSAGES) {
    const description = DESCRIPTIONS[name];
    setHandler(
      personsSignal(name),
      (argument?: unknown) => {
        try {
          entity.receive(name, legible(argument));
        } catch (error) {
          entity.refuse(name, refusalIn(error));
        }
        heard();
      },
      { description },
    );
    setHandler(
      personsUpdate(name),
      (argument?: unknown) => {
        heard();
        return answered(() => entity.receive(name, legible(argument)));
      },
      {
        description,
        validator: (argument?: unknown) => answered(() => entity.check(name, legible(argument))),
      },
    );
  }
  setHandler(
    ran,
    (report) => {
      // Anyone can send it; what is no report is not for anybody.
      if (isRunReport(report)) entity.reported(report);
      heard();
    },
    { description: 'Sent by the plan’s runs: how they stand' },
  );
  setHandler(
    catalogueChanged,
    () => {
      entity.surveyIsDue();
      heard();
    },
    { description: 'Sent by prune, verification and drills: what can be restored has changed' },
  );
  // Last: what was sent before this run began is handed out as handlers come.
  setDefaultSignalHandler((name) => {
    const known = PERSONS_MESSAGES.map((each) => `\`${each}\``).join(', ');
    entity.refuse(name, {
      code: 'BAD_REQUEST',
      reason: 'there is no such signal',
      remedy: `Send one of ${known}.`,
    });
    heard();
  });
  setHandler(
    applyPlan,
    async (application) => {
      const generation = entity.apply(application);
      schedules.keepPauses = application.keepPauses;
      heard();
      return schedules.reconciled(generation);
    },
    {
      description: 'Sent by `holdfast apply`',
      validator: (application: Application) => answered(() => entity.checkApplication(application)),
    },
  );
  setHandler(
    removePlan,
    async () => {
      const generation = entity.remove();
      heard();
      return schedules.reconciled(generation);
    },
    { description: 'Sent by `holdfast apply --prune`: the plan has no file any more' },
  );
  setHandler(planStatus, () => entity.status, { description: 'All that the entity knows of its plan' });
  setHandler(recoveryWindow, () => entity.window, {
    description: 'The instants to which the plan can be restored',
  });
  setHandler(planRevision, () => entity.state.revision, { description: 'The plan as it was applied' });

  const refusals = metricMeter.createCounter(
    'holdfast_requests_refused',
    undefined,
    'Messages to a plan that were malformed or impossible',
  );
  let counted = state.refused.count;
  const show = () => {
    const { refused, plan: name } = entity.status;
    if (refused.count > counted) refusals.add(refused.count - counted, { plan: name });
    counted = refused.count;
    setCurrentDetails(renderPlan(entity.status, new Date(Date.now())));
  };
  let told = state.refused.count;
  let toldAtMs = Number.NEGATIVE_INFINITY;
  const tellOfRefusals = async () => {
    const { count, last } = entity.status.refused;
    const [newest] = last;
    if (count === told || newest === undefined || Date.now() - toldAtMs < REFUSALS_TOLD_EVERY_MS) return;
    toldAtMs = Date.now();
    const { plan: applied } = entity.state.revision;
    await tell(applied.notify, `refused-${count}`, {
      ...{ event: 'refused', plan: applied.name, labels: applied.pipeline.labels, ok: false },
      headline: `A message to plan ${applied.name} was refused (${newest.message}): ${newest.reason}`,
      error: { code: newest.code, message: newest.reason },
      facts: { remedy: newest.remedy, ...(count - told > 1 ? { 'refused since': `${count - told}` } : {}) },
    });
    told = count;
  };
  show();
  for (;;) {
    news = false;
    const work = entity.nextWork();
    if (work === undefined) {
      const isDone = () => entity.isOver && allHandlersFinished();
      if (isDone()) return;
      await condition(() => news || isDone() || mustGoOn(entity.state), entity.wakeAfterMs);
    } else await carryOut(entity, work, schedules);
    show();
    await tellOfRefusals();
    if (mustGoOn(entity.state)) {
      await condition(allHandlersFinished);
      const { taskQueue } = entity.state.revision;
      await makeContinueAsNewFunc<typeof plan>({ taskQueue })({ ...entity.state, hostedOn: taskQueue });
    }
  }
}

/** A new run: the history has grown, or another queue's worker is to host the entity. */
function mustGoOn(state: PlanState): boolean {
  const { historyEvents = HISTORY_EVENTS, revision, schedulesOf, generation, hostedOn } = state;
  const { continueAsNewSuggested, historyLength } = workflowInfo();
  // Not the queue that `workflowInfo` tells: it is the worker's, and another one where a history is replayed.
  const moves = hostedOn !== undefined && hostedOn !== revision.taskQueue && schedulesOf === generation;
  return continueAsNewSuggested || historyLength >= historyEvents || moves;
}

/** Lets whoever applied wait for the schedules, and hear why they could not be written. */
class ScheduleKeeper {
  keepPauses = true;
  private generation = 0;
  private changes: Applied['changes'] = [];
  private failure: { readonly generation: number; readonly error: unknown } | undefined;

  succeeded(generation: number, changes: Applied['changes']): void {
    this.generation = generation;
    this.changes = changes;
  }

  failed(generation: number, error: unknown): void {
    this.failure = { generation, error };
  }

  async reconciled(generation: number): Promise<Applied> {
    await condition(() => this.generation >= generation || (this.failure?.generation ?? -1) >= generation);
    if (this.generation >= generation) return { generation, changes: this.changes };
    const { code, message } = describeFailure(this.failure?.error);
    throw ApplicationFailure.nonRetryable(message, code);
  }
}

async function carryOut(entity: PlanEntity, work: Work, schedules: ScheduleKeeper): Promise<void> {
  const { revision, paused, isRemoved } = entity.state;
  const { name, pipeline } = revision.plan;
  switch (work.do) {
    case 'schedules':
      try {
        const changes = await call('bring schedules in line').reconcileSchedules({
          desired: isRemoved ? [] : desiredSchedules(revision.plan),
          ids: scheduleIdsOf(name),
          ...{ plan: name, engine: pipeline.source.engine, taskQueue: revision.taskQueue },
          ...(paused === undefined ? {} : { paused: paused.reason ?? '' }),
          keepPauses: schedules.keepPauses,
        });
        const inCluster = await inClusterChanges(entity);
        entity.schedulesReconciled(work.generation);
        schedules.succeeded(work.generation, [...changes, ...inCluster]);
      } catch (error) {
        schedules.failed(work.generation, error);
        entity.refuse('apply', refusalIn(error));
        // Tried again until it works: meanwhile messages are heard, and nothing else of the plan is done.
        await condition(() => entity.state.generation !== work.generation, 60_000);
      }
      return;
    case 'decide':
      try {
        const { decision, databases } = await call(`decide restore ${work.request.requestId}`).decideRestore({
          ...{ repository: pipeline.repository, plan: name, request: work.request.wish ?? {} },
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
      await started(() =>
        startChild<typeof backup>('backup', {
          ...childOptions(entity, work.request.run.workflowId, work.request.options?.taskQueue),
          staticSummary: `Backup of ${name} (${pipeline.source.engine}) into ${pipeline.repository.name}${because(work.request.reason)}`,
          args: [work.input],
        }),
      );
      return entity.started(work.request);
    case 'restore':
      await started(() =>
        startChild<typeof restore>('restore', {
          ...childOptions(entity, work.request.run.workflowId, work.request.options?.taskQueue),
          staticSummary: `Restore of ${name} from backup ${work.input.from.backup}${because(work.request.reason)}`,
          args: [work.input],
        }),
      );
      return entity.started(work.request);
    case 'goBack':
      await started(() =>
        startChild<typeof inClusterRestore>('inClusterRestore', {
          ...childOptions(entity, work.request.run.workflowId, work.request.options?.taskQueue),
          staticSummary: `${work.input.way === 'rewind' ? 'Rewind' : 'Clone'} of ${name} to ${work.input.instant}${because(work.request.reason)}`,
          args: [work.input],
        }),
      );
      return entity.started(work.request);
    case 'cancel':
      try {
        await getExternalWorkflowHandle(work.workflowId).cancel();
      } catch (error) {
        // It has ended meanwhile, which is what was wanted.
        if (isCancellation(error)) throw error;
      }
      return entity.cancelled(work.workflowId);
    case 'survey':
      try {
        const { generation } = entity.state;
        const survey = await call('what storage and schedules hold').surveyPlan({
          ...{ repository: pipeline.repository, plan: name },
          ...historyOf(revision.plan),
        });
        entity.surveyed(survey, generation);
      } catch (error) {
        if (isCancellation(error)) throw error;
        entity.surveyFailed(describeFailure(error).message);
      }
      return;
    case 'look': {
      const states = await call('are the runs still there?').statesOfRuns({ workflowIds: work.workflowIds });
      entity.looked(
        states
          .filter(({ status }) => status !== 'running')
          .map(({ workflowId, ending = 'unknown to Temporal' }) => ({ workflowId, ending })),
      );
    }
  }
}

/** The universe's own snapshot schedules, which a plan that is gone, or wants none, gives up. */
async function inClusterChanges(entity: PlanEntity): Promise<Applied['changes']> {
  const { revision, isRemoved } = entity.state;
  const { name, pipeline, pointTime } = revision.plan;
  const { source, repository } = pipeline;
  if (source.engine !== 'universe') return [];
  const changes = await call("bring the universe's snapshot schedules in line").reconcileInCluster({
    ...{ repository, plan: name, source },
    ...(isRemoved || pointTime === undefined ? {} : { policy: pointTime.inCluster }),
  });
  return changes.flatMap(({ namespace, schedule, done }) =>
    done === 'unchanged' ? [] : [{ schedule: `${namespace} (${schedule})`, done: IN_CLUSTER_DONE[done] }],
  );
}

const IN_CLUSTER_DONE = {
  created: 'created',
  adopted: 'updated',
  edited: 'updated',
  deleted: 'deleted',
  released: 'deleted',
} as const;

/** Where a plan has its universe keep history, the planner looks there too. */
function historyOf({ pipeline, pointTime }: CompiledPlan): { readonly history?: UniverseSource } {
  return pointTime === undefined || pipeline.source.engine !== 'universe' ? {} : { history: pipeline.source };
}

function because(reason: string | undefined): string {
  return reason === undefined ? '' : `: ${reason.slice(0, 150)}`;
}

function call(summary: string) {
  return activitiesFor({ summary, retry: PATIENT_RETRY, timeoutMs: PATIENCE_MS });
}

function childOptions(entity: PlanEntity, workflowId: string, taskQueue: string | undefined) {
  const { revision } = entity.state;
  return {
    workflowId,
    taskQueue: taskQueue ?? revision.taskQueue,
    parentClosePolicy: ParentClosePolicy.ABANDON,
    typedSearchAttributes: runAttributes(revision.plan),
  };
}

/** A child with this id that exists already was started before the crash of whoever asks. */
async function started(start: () => Promise<unknown>): Promise<void> {
  try {
    await start();
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}

/** An argument that is JSON, whatever a person pasted. */
function legible(argument: unknown): unknown {
  if (!isUndecodable(argument)) return argument;
  throw new Refused({
    code: 'BAD_REQUEST',
    reason: `what was sent is no JSON (${argument.undecodable})`,
    remedy: 'Write e.g. {} or {"to": "2026-11-22T10:04:00Z"}.',
  });
}

function refusalIn(error: unknown): Refused['refusal'] {
  if (error instanceof Refused) return error.refusal;
  const { code, message } = describeFailure(error);
  return { code, reason: message.replace(/\.$/, ''), remedy: 'Mend that and send it again.' };
}

/** For updates: a refusal goes back to whoever sent it. */
function answered<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    const { code, reason, remedy } = refusalIn(error);
    throw ApplicationFailure.create({
      type: code,
      message: `${reason}. ${remedy}`,
      nonRetryable: true,
      details: [{ problem: reason, remedy }],
    });
  }
}
