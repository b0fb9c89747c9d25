import {
  CancellationScope,
  condition,
  getExternalWorkflowHandle,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { ClaimInput } from '../activities/contract.ts';
import type { Source } from '../model/pipeline.ts';
import type { ClaimMode } from '../model/source-claim.ts';
import { DAY_MS } from '../model/time.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { leaveSource, sourceEntered } from './messages.ts';

/** A wait that is shorter is not worth telling. */
const SHORT_WAIT_MS = 2_000;

/** How long a run waits before it asks again. The gate, and with it the list of claims, may have been terminated by hand. */
const ASK_AGAIN_AFTER_MS = 10 * 60_000;

export interface TurnWish {
  /** The source; its `connection` names the server that is worked on. */
  readonly source: Source;
  readonly mode: ClaimMode;
  readonly title: string;
  /** Called when the run has to wait; its argument is the id of the gate. */
  readonly onWait: (gate: string) => void;
}

/** This run's turn at a source, given by the source's gate (workflows/source-gate.ts). */
export class Turn {
  readonly #wish: TurnWish;
  #isIn = false;
  #gate: string | undefined;

  constructor(wish: TurnWish) {
    this.#wish = wish;
    setHandler(
      sourceEntered,
      () => {
        this.#isIn = true;
      },
      { description: 'Sent by the gate of the source: this run may begin' },
    );
  }

  /** Returns when the gate lets this run in. Throws when the source can't be named (a secret is missing, a bad URL). */
  async take(): Promise<void> {
    const { source, mode, title, onWait } = this.#wish;
    const { workflowId: holder, taskQueue } = workflowInfo();
    const claim: ClaimInput = {
      source,
      mode,
      title,
      holder,
      taskQueue,
      since: new Date(Date.now()).toISOString(),
    };
    const ask = activitiesFor({
      summary: 'wait until the source is free',
      retry: PATIENT_RETRY,
      timeoutMs: DAY_MS,
    });
    const { gate } = await ask.claimSource(claim);
    this.#gate = gate;
    if (await condition(() => this.#isIn, SHORT_WAIT_MS)) return;
    onWait(gate);
    while (!(await condition(() => this.#isIn, ASK_AGAIN_AFTER_MS))) await ask.claimSource(claim);
  }

  /** Gives the source back. Also called by a run that is cancelled, and by one that never got the source. */
  async end(): Promise<void> {
    const gate = this.#gate;
    if (gate === undefined) return;
    this.#gate = undefined;
    await CancellationScope.nonCancellable(async () => {
      try {
        await getExternalWorkflowHandle(gate).signal(leaveSource, workflowInfo().workflowId);
      } catch {
        // This fails only if the gate is gone (terminated by hand). Then no run waits at it.
      }
    });
  }
}
