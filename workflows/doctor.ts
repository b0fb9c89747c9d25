import {
  ActivityCancellationType,
  ActivityFailure,
  type ActivityInterface,
  ApplicationFailure,
  isCancellation,
  proxyActivities,
  TimeoutFailure,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities, NodeActivities } from '../activities/contract.ts';
import type { Check } from '../model/check.ts';
import { defined } from '../model/defined.ts';
import {
  type CheckAnswer,
  type CheckInput,
  type DoctorInput,
  type DoctorReport,
  type QueueAnswer,
  SCHEMA_TRIAL_AT_MOST_MS,
} from '../model/doctor.ts';
import { nodeQueue, pruneQueue, readPointQueue } from '../model/task-queue.ts';
import { HEARTBEAT_TIMEOUT_MS } from './activity-proxies.ts';
import { describeFailure, rootFailure } from './failures.ts';
import { inParallel } from './scopes.ts';

/**
 * How long the plan's own worker may take to take a question. It is alive, since it took this run, but all its slots may be busy.
 */
const OWN_WORKER_MS = 60_000;
/** How long another worker may take. Temporal lists a dead poller for minutes, so a listed worker may be gone. */
const OTHER_WORKER_MS = 15_000;
const LOOKS_AT_MOST_MS = 120_000;
/** The trial itself, and time to drop its scratch databases. */
const TRIAL_AT_MOST_MS = SCHEMA_TRIAL_AT_MOST_MS + 120_000;
const AGENTS_AT_ONCE = 20;

/**
 * Asks each worker that the plan's runs need, on its own task queue, so that each answers for its own programs, secrets and
 * network. Every question has a time limit and is asked once. The only change that it makes is temporary: the worker of the plan's
 * own queue creates the newest backup's schema in scratch databases, and drops them.
 */
export async function doctor(input: DoctorInput): Promise<DoctorReport> {
  const { repository, source, history, archive, beside, plan, notify } = input;
  const { taskQueue } = workflowInfo();
  const asked = { repository, source, history, ...defined({ archive }) };
  let agents: readonly string[] = [];
  const own = await answerOf(taskQueue, OWN_WORKER_MS, async () => {
    const atMostMs = LOOKS_AT_MOST_MS + (plan === undefined ? 0 : TRIAL_AT_MOST_MS);
    const question: CheckInput = {
      ...asked,
      duty: 'work',
      ...defined({ schemaOf: plan, notify }),
    };
    const answer = await activitiesOn(taskQueue, OWN_WORKER_MS, atMostMs).check(question);
    agents = answer.agents;
    return answer;
  });
  const ofAgents: QueueAnswer[] = [];
  await inParallel(agents.length, AGENTS_AT_ONCE, async (index) => {
    const address = agents[index] ?? '';
    const queue = nodeQueue(address);
    ofAgents[index] = await answerOf(queue, OTHER_WORKER_MS, () =>
      agentOn(queue, OTHER_WORKER_MS).checkNode({ repository }),
    );
  });
  // These are asked last, since the worker for prunes deletes what the others have written for their checks.
  const others = await Promise.all(
    beside.map((duty) => {
      const queue = duty === 'prune' ? pruneQueue(taskQueue) : readPointQueue(taskQueue);
      const question: CheckInput = {
        ...asked,
        duty,
        // Prunes have credentials of their own, which are checked even where one process does everything.
        ...(duty === 'prune' || own.worker === undefined ? {} : { answered: own.worker.identity }),
      };
      return answerOf(queue, OTHER_WORKER_MS, () => activitiesOn(queue, OTHER_WORKER_MS).check(question));
    }),
  );
  return { answers: [own, ...others, ...ofAgents] };
}

async function answerOf(
  queue: string,
  withinMs: number,
  ask: () => Promise<CheckAnswer>,
): Promise<QueueAnswer> {
  try {
    const { worker, checks } = await ask();
    return { queue, worker, checks };
  } catch (error) {
    if (isCancellation(error)) throw error;
    return { queue, checks: [unanswered(queue, withinMs, error)] };
  }
}

/** The failed check that says why no worker answered. */
function unanswered(queue: string, withinMs: number, error: unknown): Check {
  const name = `the worker of ${queue} answers`;
  const root = rootFailure(error);
  if (root instanceof TimeoutFailure && root.timeoutType === 'SCHEDULE_TO_START') {
    return {
      name,
      ok: false,
      detail: `no worker took the question within ${withinMs / 1000} s: it has died, or everything that it does at once is under way`,
      remedy: 'See whether it runs and is busy (holdfast status), start another one, or ask again later.',
    };
  }
  // The SDK reports an activity that the worker doesn't know by this failure.
  if (root instanceof ApplicationFailure && root.type === 'NotFoundError') {
    return {
      name,
      ok: false,
      detail: 'its Holdfast is older than this command, and can’t be asked',
      remedy: 'Start it again with this version.',
    };
  }
  const why = error instanceof ActivityFailure ? describeFailure(error).message : String(error);
  return { name, ok: false, detail: why, remedy: 'Read the worker’s log, and ask again.' };
}

function optionsFor(queue: string, withinMs: number, atMostMs = LOOKS_AT_MOST_MS) {
  return {
    taskQueue: queue,
    scheduleToStartTimeout: withinMs,
    startToCloseTimeout: atMostMs,
    heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    summary: `look at what the worker of ${queue} needs`,
    retry: { maximumAttempts: 1 },
  };
}

function activitiesOn(queue: string, withinMs: number, atMostMs?: number): Pick<Activities, 'check'> {
  return proxyActivities<ActivityInterface & Pick<Activities, 'check'>>(
    optionsFor(queue, withinMs, atMostMs),
  );
}

function agentOn(queue: string, withinMs: number): Pick<NodeActivities, 'checkNode'> {
  return proxyActivities<ActivityInterface & Pick<NodeActivities, 'checkNode'>>(optionsFor(queue, withinMs));
}
