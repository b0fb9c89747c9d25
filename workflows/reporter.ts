import { CancellationScope, getExternalWorkflowHandle, workflowInfo } from '@temporalio/workflow';
import { planWorkflowId, type RunReport, ran } from './plan-messages.ts';

type Ending = Pick<RunReport, 'state' | 'headline' | 'result'>;

/**
 * Tells a plan's entity how a run of it stands, wherever the run was started. A plan that was not applied has no entity:
 * the first report finds that out, and no other is sent.
 */
export class Reporter {
  readonly #plan: string;
  readonly #run: Pick<RunReport, 'kind' | 'id' | 'workflowId' | 'startedAt' | 'overwrites'>;
  #isHeard = true;
  /** In order, and one at a time. */
  #sending: Promise<void> = Promise.resolve();

  constructor(plan: string, run: Pick<RunReport, 'kind' | 'id' | 'overwrites'>) {
    this.#plan = plan;
    const { workflowId, startTime } = workflowInfo();
    this.#run = { ...run, workflowId, startedAt: startTime.toISOString() };
  }

  running(headline: string): void {
    this.#send({ state: 'running', headline });
  }

  /** Returns when the end was told. */
  async ended(ending: Ending): Promise<void> {
    this.#send({ ...ending, endedAt: new Date(Date.now()).toISOString() });
    await this.#sending;
  }

  #send(report: Ending & Pick<RunReport, 'endedAt'>): void {
    this.#sending = this.#sending.then(async () => {
      if (!this.#isHeard) return;
      try {
        await CancellationScope.nonCancellable(() =>
          getExternalWorkflowHandle(planWorkflowId(this.#plan)).signal(ran, { ...this.#run, ...report }),
        );
      } catch {
        // Only that there is no such workflow makes a signal fail.
        this.#isHeard = false;
      }
    });
  }
}
