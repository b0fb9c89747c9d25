import {
  allHandlersFinished,
  condition,
  continueAsNew,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  setCurrentDetails,
  setDefaultSignalHandler,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { LockRequest } from '../model/source-lock.ts';
import { DAY_MS } from '../model/time.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { describeFailure } from './failures.ts';
import { enterSource, type LockState, leaveSource, lockState, sourceEntered } from './messages.ts';
import { SourceLock } from './source-lock.ts';

/**
 * How long until the lock checks whether holders are alive: while a run waits (doubling from first to slowest), and while none
 * does.
 */
const FIRST_LOOK_MS = 5_000;
const SLOWEST_LOOK_MS = 60_000;
const IDLE_LOOK_MS = 10 * 60_000;

/**
 * The lock of one source. Backups share it; an overwriting restore has it alone. A run asks by `enterSource`, is answered by
 * `sourceEntered`, and gives the source back by `leaveSource`. A terminated run can't give it back, so the lock checks its
 * holders, more often while a run waits. The lock ends when no run is left; the next request starts it again. Its workflow type, signals and
 * query keep their older names (`gate`, `enter`, `leave`), since histories hold them.
 */
export async function sourceGate(state: LockState): Promise<void> {
  const lock = new SourceLock(state);
  let news = true;
  const on =
    <T>(act: (argument: T) => void) =>
    (argument: T) => {
      act(argument);
      news = true;
    };
  setHandler(
    enterSource,
    on((request) => {
      // Anyone can send this signal, so whatever is not a request is ignored.
      if (isRequest(request)) lock.request(request);
    }),
    { description: 'Sent by runs: let me in' },
  );
  setHandler(
    leaveSource,
    on((run) => lock.release(run)),
    { description: 'Sent by runs: I have ended' },
  );
  setHandler(lockState, () => lock.state, { description: 'Who holds the source and who waits for it' });
  setDefaultSignalHandler(() => undefined);

  let lookAfterMs = FIRST_LOOK_MS;
  while (!lock.isEmpty) {
    news = false;
    for (const run of lock.grant()) await notify(lock, run);
    setCurrentDetails(render(lock.state));
    if (workflowInfo().continueAsNewSuggested && allHandlersFinished()) {
      await continueAsNew<typeof sourceGate>(lock.state);
    }
    if (news) continue;
    const isWaitedFor = lock.state.waiting.length > 0;
    const heard = await condition(() => news, isWaitedFor ? lookAfterMs : IDLE_LOOK_MS);
    lookAfterMs = heard ? FIRST_LOOK_MS : Math.min(2 * lookAfterMs, SLOWEST_LOOK_MS);
    // If a run has to wait, check at once whether those before it are still alive.
    if (!heard || lock.state.waiting.length > 0) await dismissTheDead(lock);
  }
}

function isRequest(value: unknown): value is LockRequest {
  return (
    typeof value === 'object' &&
    value !== null &&
    'holder' in value &&
    typeof value.holder === 'string' &&
    'databases' in value &&
    typeof value.databases === 'object' &&
    value.databases !== null &&
    'include' in value.databases &&
    Array.isArray(value.databases.include)
  );
}

async function notify(lock: SourceLock, run: string): Promise<void> {
  try {
    await getExternalWorkflowHandle(run).signal(sourceEntered);
  } catch {
    // A signal to a run fails only if the run has ended: here, while it waited.
    lock.release(run);
  }
}

async function dismissTheDead(lock: SourceLock): Promise<void> {
  const workflowIds = [...lock.state.holders, ...lock.state.waiting].map(({ holder }) => holder);
  if (workflowIds.length === 0) return;
  const look = activitiesFor({
    summary: 'look whether the runs still exist',
    retry: PATIENT_RETRY,
    timeoutMs: DAY_MS,
  });
  try {
    for (const { workflowId, status } of await look.statesOfRuns({ workflowIds })) {
      if (status !== 'running') lock.release(workflowId);
    }
  } catch (error) {
    // The lock must live on with those that are in: one that begins anew knows nobody, and would let a run in beside an overwriting restore.
    if (isCancellation(error)) throw error;
    log.warn('whether the runs still exist is not known', { reason: describeFailure(error).message });
  }
}

function render({ holders, waiting }: LockState): string {
  const line = ({ title, mode, since, holder }: LockRequest) =>
    `- ${title} (${mode}), since ${since}: \`${holder}\``;
  return [
    '**In:**',
    ...(holders.length === 0 ? ['- nobody'] : holders.map(line)),
    ...(waiting.length === 0 ? [] : ['', '**Waiting:**', ...waiting.map(line)]),
  ].join('\n');
}
