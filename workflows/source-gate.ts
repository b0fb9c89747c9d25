import {
  allHandlersFinished,
  condition,
  continueAsNew,
  getExternalWorkflowHandle,
  setCurrentDetails,
  setDefaultSignalHandler,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { SourceClaim } from '../model/source-claim.ts';
import { DAY_MS } from '../model/time.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { Gate } from './gate.ts';
import { enterSource, type GateState, gateState, leaveSource, sourceEntered } from './messages.ts';

/** How long holders are assumed to be alive before they are checked: while a run waits (doubling), and while none does. */
const FIRST_LOOK_MS = 5_000;
const SLOWEST_LOOK_MS = 60_000;
const IDLE_LOOK_MS = 10 * 60_000;

/**
 * The gate of one source: a lock that backups share and an overwriting restore has alone. Runs ask by `enterSource`, are answered by
 * `sourceEntered`, and give the source back by `leaveSource`. A terminated run gives nothing back, so holders are checked while a
 * run waits. The gate ends when no run is left; the next claim starts it again.
 */
export async function sourceGate(state: GateState): Promise<void> {
  const gate = new Gate(state);
  let news = true;
  const on =
    <T>(act: (argument: T) => void) =>
    (argument: T) => {
      act(argument);
      news = true;
    };
  setHandler(
    enterSource,
    on((claim) => {
      // Anyone can send this signal, so whatever is not a claim is ignored.
      if (isClaim(claim)) gate.enter(claim);
    }),
    { description: 'Sent by runs: let me in' },
  );
  setHandler(
    leaveSource,
    on((run) => gate.leave(run)),
    { description: 'Sent by runs: I have ended' },
  );
  setHandler(gateState, () => gate.state, { description: 'Who is in and who waits' });
  setDefaultSignalHandler(() => undefined);

  let lookAfterMs = FIRST_LOOK_MS;
  while (!gate.isEmpty) {
    news = false;
    for (const run of gate.admit()) await tell(gate, run);
    setCurrentDetails(render(gate.state));
    if (workflowInfo().continueAsNewSuggested && allHandlersFinished()) {
      await continueAsNew<typeof sourceGate>(gate.state);
    }
    if (news) continue;
    const isWaitedFor = gate.state.waiting.length > 0;
    const heard = await condition(() => news, isWaitedFor ? lookAfterMs : IDLE_LOOK_MS);
    lookAfterMs = heard ? FIRST_LOOK_MS : Math.min(2 * lookAfterMs, SLOWEST_LOOK_MS);
    // A new run that must wait: check at once whether those before it are still alive.
    if (!heard || gate.state.waiting.length > 0) await dismissTheDead(gate);
  }
}

function isClaim(value: unknown): value is SourceClaim {
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

async function tell(gate: Gate, run: string): Promise<void> {
  try {
    await getExternalWorkflowHandle(run).signal(sourceEntered);
  } catch {
    // The run ended while it waited. A signal to a run fails for no other reason.
    gate.leave(run);
  }
}

async function dismissTheDead(gate: Gate): Promise<void> {
  const workflowIds = [...gate.state.holders, ...gate.state.waiting].map(({ holder }) => holder);
  if (workflowIds.length === 0) return;
  const look = activitiesFor({
    summary: 'look whether the runs still exist',
    retry: PATIENT_RETRY,
    timeoutMs: DAY_MS,
  });
  for (const { workflowId, status } of await look.statesOfRuns({ workflowIds })) {
    if (status !== 'running') gate.leave(workflowId);
  }
}

function render({ holders, waiting }: GateState): string {
  const line = ({ title, mode, since, holder }: SourceClaim) =>
    `- ${title} (${mode}), since ${since}: \`${holder}\``;
  return [
    '**In:**',
    ...(holders.length === 0 ? ['- nobody'] : holders.map(line)),
    ...(waiting.length === 0 ? [] : ['', '**Waiting:**', ...waiting.map(line)]),
  ].join('\n');
}
