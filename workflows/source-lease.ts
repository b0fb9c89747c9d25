import {
  CancellationScope,
  condition,
  getExternalWorkflowHandle,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { LockInput } from '../activities/contract.ts';
import type { Source } from '../model/pipeline.ts';
import type { LockMode } from '../model/source-lock.ts';
import { DAY_MS } from '../model/time.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { leaveSource, sourceEntered } from './messages.ts';

/** Shorter waits are not shown. */
const SHORT_WAIT_MS = 2_000;

/** After waiting this long a run asks again. Somebody may have terminated the lock's workflow, which loses the list of requests. */
const ASK_AGAIN_AFTER_MS = 10 * 60_000;

/** The lease that a run wants. */
export interface LeaseWish {
  /** The source; its `connection` names the server that is worked on. */
  readonly source: Source;
  readonly mode: LockMode;
  readonly title: string;
  /** Called when the run has to wait; its argument is the workflow id of the lock. */
  readonly onWait: (lock: string) => void;
}

/** This run's lease on a source. The source's lock grants it (workflows/source-gate.ts). */
export class SourceLease {
  readonly #wish: LeaseWish;
  #isIn = false;
  #lock: string | undefined;

  constructor(wish: LeaseWish) {
    this.#wish = wish;
    setHandler(
      sourceEntered,
      () => {
        this.#isIn = true;
      },
      { description: 'Sent by the lock of the source: this run may begin' },
    );
  }

  /** Returns when the lock has granted the lease. Throws when the source can't be named (a secret is missing, a bad URL). */
  async take(): Promise<void> {
    const { source, mode, title, onWait } = this.#wish;
    const { workflowId: holder, taskQueue } = workflowInfo();
    const request: LockInput = {
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
    const { gate: lock } = await ask.claimSource(request);
    this.#lock = lock;
    if (await condition(() => this.#isIn, SHORT_WAIT_MS)) return;
    onWait(lock);
    while (!(await condition(() => this.#isIn, ASK_AGAIN_AFTER_MS))) await ask.claimSource(request);
  }

  /** Gives the source back. A cancelled run calls this too, and so does one that never got the source. */
  async end(): Promise<void> {
    const lock = this.#lock;
    if (lock === undefined) return;
    this.#lock = undefined;
    await CancellationScope.nonCancellable(async () => {
      try {
        await getExternalWorkflowHandle(lock).signal(leaveSource, workflowInfo().workflowId);
      } catch {
        // This signal fails only if the lock is gone (terminated by hand). Then no run waits for it.
      }
    });
  }
}
