import {
  ApplicationFailure,
  allHandlersFinished,
  condition,
  makeContinueAsNewFunc,
  metricMeter,
  patched,
  setCurrentDetails,
  setDefaultSignalHandler,
  setHandler,
  uuid4,
  workflowInfo,
} from '@temporalio/workflow';
import type { TraceContext } from '../model/trace.ts';
import { audienceOf } from '../planning/notification.ts';
import { sendNotification } from './notify.ts';
import { PlanEntity, type Work } from './plan-entity.ts';
import {
  type Application,
  applyPlan,
  catalogueChanged,
  DESCRIPTIONS,
  forgetDatabase,
  isRunReport,
  PERSONS_MESSAGES,
  type PlanState,
  personsSignal,
  personsUpdate,
  planRevision,
  planStatus,
  type Receipt,
  ran,
  recoveryWindow,
  removePlan,
} from './plan-messages.ts';
import { renderPlan } from './plan-page.ts';
import { Refused } from './plan-request-reading.ts';
import { carryOut, refusalIn, ScheduleKeeper } from './plan-work.ts';
import { currentSender } from './sender.ts';
import { isUndecodable } from './tolerant-converter.ts';
import { currentTrace, inTrace } from './traced.ts';

const HISTORY_EVENTS = 2_000;

/** Refusals are reported at most once in this time: the newest one, and their number. */
const REPORT_REFUSALS_EVERY_MS = 60_000;

/**
 * One plan, for years: takes people's messages, starts backups and restores, keeps the plan's schedules in line, and shows on its
 * page what can be restored. Its runs are abandoned children, so they go on whatever happens to this workflow. They report by the
 * signal `ran`. The logic is in `PlanEntity`.
 */
export async function plan(state: PlanState): Promise<void> {
  const knowsArchives = patched('archives are followed');
  const recordsSignals = patched('signals are recorded');
  const entity = new PlanEntity(
    state,
    { now: () => new Date(Date.now()) },
    { digits: (count) => uuid4().replaceAll('-', '').slice(0, count) },
    {
      joinsBases: knowsArchives,
      followsArchive: knowsArchives,
      failuresWait: patched('failures hold nothing up'),
      takesAnyRequest: !patched('requests are checked'),
      rowsAsk: () => patched('rows alone wait for approval'),
    },
  );
  let news = true;
  const heard = () => {
    news = true;
  };
  const schedules = new ScheduleKeeper();
  const traces = new RequestTraces();

  for (const name of PERSONS_MESSAGES) {
    const description = DESCRIPTIONS[name];
    setHandler(
      personsSignal(name),
      (argument?: unknown) => {
        try {
          const by = currentSender();
          const receipt = entity.receive(name, legible(argument), by);
          traces.take(receipt);
          if (recordsSignals)
            entity.noteAct(name, receipt, {
              by: `${by ?? 'nobody by name'}, by a signal`,
              ...reasonIn(argument),
            });
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
        return answered(() => traces.take(entity.receive(name, legible(argument), currentSender())));
      },
      {
        description,
        validator: (argument?: unknown) =>
          answered(() => entity.check(name, legible(argument), currentSender())),
      },
    );
  }
  setHandler(
    ran,
    (report) => {
      // Anyone can send this signal, so whatever is not a report is ignored.
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
  setHandler(forgetDatabase, (database) => entity.forget(database), {
    description: 'Sent by `holdfast apply --prune --gone`: the plan of a database that is gone is removed',
  });
  // This handler is set last, since the SDK delivers buffered signals as handlers are set.
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
      // Whoever found this plan waits in an activity, and another one writes the schedules: with as many plans as a worker has slots, all would wait for ever.
      if (application.revision.plan.discovered !== undefined) return { generation, changes: [] };
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
  let reported = state.refused.count;
  let reportedAtMs = Number.NEGATIVE_INFINITY;
  const tellOfRefusals = async () => {
    const { count, last } = entity.status.refused;
    const [newest] = last;
    if (count === reported || newest === undefined || Date.now() - reportedAtMs < REPORT_REFUSALS_EVERY_MS)
      return;
    reportedAtMs = Date.now();
    const { plan: applied } = entity.state.revision;
    await sendNotification(`refused-${count}`, {
      type: 'request.refused',
      plan: applied.name,
      ...audienceOf(applied),
      ok: false,
      headline: `A message to plan ${applied.name} was refused (${newest.message}): ${newest.reason}`,
      error: { code: newest.code, message: newest.reason },
      facts: {
        remedy: newest.remedy,
        ...(count - reported > 1 ? { 'refused since': `${count - reported}` } : {}),
      },
    });
    reported = count;
  };
  // An `apply` that waits for its schedules must end first, since this loop writes them.
  const goesOn = () => mustGoOn(entity.state) && allHandlersFinished();
  show();
  for (;;) {
    news = false;
    const work = entity.nextWork();
    if (work === undefined) {
      const isDone = () => entity.isOver && allHandlersFinished();
      if (isDone()) return;
      await condition(() => news || isDone() || goesOn(), entity.wakeAfterMs);
    } else await inTrace(traces.of(work), () => carryOut(entity, work, schedules));
    show();
    await tellOfRefusals();
    if (goesOn()) {
      const { taskQueue } = entity.state.revision;
      await makeContinueAsNewFunc<typeof plan>({ taskQueue })({ ...entity.state, hostedOn: taskQueue });
    }
  }
}

/** How many requests are traced at once. Those that wait are far fewer. */
const TRACED_REQUESTS = 100;

/**
 * The spans of the messages that asked for what the entity will do. They are not in its state: a request that waits beyond the entity's run loses its
 * trace, and nothing else.
 */
class RequestTraces {
  readonly #spans = new Map<string, TraceContext>();

  /** Notes the message that is handled right now as the one that asked for what its receipt names. */
  take(receipt: Receipt): Receipt {
    const span = currentTrace();
    if (span !== undefined && receipt.outcome === 'accepted') {
      const [oldest] = this.#spans.keys();
      if (this.#spans.size >= TRACED_REQUESTS && oldest !== undefined) this.#spans.delete(oldest);
      this.#spans.set(receipt.requestId, span);
    }
    return receipt;
  }

  of(work: Work): TraceContext | undefined {
    return 'request' in work ? this.#spans.get(work.request.requestId) : undefined;
  }
}

/** Whether the entity goes on in a new run: its history is long, or a worker of another task queue is to host it. */
function mustGoOn(state: PlanState): boolean {
  const { historyEvents = HISTORY_EVENTS, revision, schedulesOf, generation, hostedOn } = state;
  const { continueAsNewSuggested, historyLength } = workflowInfo();
  // `workflowInfo` gives the task queue of the worker, which differs in a replay, so it isn't used here.
  const moves = hostedOn !== undefined && hostedOn !== revision.taskQueue && schedulesOf === generation;
  return continueAsNewSuggested || historyLength >= historyEvents || moves;
}

/** The reason in a message that was accepted. */
function reasonIn(argument: unknown): { readonly reason?: string } {
  const isObject = typeof argument === 'object' && argument !== null && 'reason' in argument;
  return isObject && typeof argument.reason === 'string' ? { reason: argument.reason } : {};
}

/** Returns the argument if it is JSON. A person may have pasted anything else, which is refused. */
function legible(argument: unknown): unknown {
  if (!isUndecodable(argument)) return argument;
  throw new Refused({
    code: 'BAD_REQUEST',
    reason: `what was sent is no JSON (${argument.undecodable})`,
    remedy: 'Write e.g. {} or {"to": "2026-11-22T10:04:00Z"}.',
  });
}

/** Runs the handler of an update. A refusal goes back to the sender. */
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
