import { CancellationScope, getExternalWorkflowHandle, workflowInfo } from '@temporalio/workflow';
import { planWorkflowId, type RunReport, ran } from './plan-messages.ts';

type Ending = Pick<RunReport, 'state' | 'headline' | 'result'>;

/**
 * Reports a run's progress to its plan's entity, whoever started the run. A plan that was not applied has no entity: the first
 * report fails for that reason, and no other is sent.
 */
export class Reporter {
  readonly #plan: string;
  readonly #run: Pick<RunReport, 'kind' | 'id' | 'workflowId' | 'startedAt' | 'overwrites'>;
  #isHeard = true;
  /** Makes sure that reports are sent in order, one at a time. */
  #sending: Promise<void> = Promise.resolve();

  constructor(plan: string, run: Pick<RunReport, 'kind' | 'id' | 'overwrites'>) {
    this.#plan = plan;
    const { workflowId, startTime } = workflowInfo();
    this.#run = { ...run, workflowId, startedAt: startTime.toISOString() };
  }

  running(headline: string): void {
    this.#send({ state: 'running', headline });
  }

  /** Reports the end, and returns after that. */
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
        // A signal fails only where there is no such workflow.
        this.#isHeard = false;
      }
    });
  }
}
