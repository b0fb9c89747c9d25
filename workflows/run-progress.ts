import { defineSearchAttributeKey } from '@temporalio/common';
import { setCurrentDetails, setHandler, upsertSearchAttributes } from '@temporalio/workflow';
import { formatBytes } from '../model/amounts.ts';
import { defined } from '../model/defined.ts';
import { progress, transferProgress } from './messages.ts';
import {
  type Progress,
  renderProgress,
  type StepProgress,
  type StepState,
  type TransferProgress,
  type TransferUnit,
} from './progress.ts';

const phaseKey = defineSearchAttributeKey('BackupPhase', 'KEYWORD');
const resultKey = defineSearchAttributeKey('BackupResult', 'KEYWORD');

/**
 * The progress of one run. The query `progress`, the current details in the Temporal UI and the phase as a search attribute all show
 * this one state. It adds only one event to the history for each step: its change of phase.
 */
export class RunProgress {
  readonly #steps: StepProgress[];
  #state: Progress['state'] = 'running';
  #headline: string;
  readonly #title: string;
  readonly #startedAtMs = Date.now();
  readonly #transferring = new Map<string, Map<number, TransferProgress>>();
  #transferStep: string | undefined;
  /** Called when a step begins and at each tenth of a transfer, to report the progress to others. */
  onMilestone: (headline: string) => void = () => undefined;
  #tenths = 0;
  #pausedUntil: string | undefined;

  constructor(title: string, steps: readonly Pick<StepProgress, 'id' | 'verb'>[]) {
    this.#title = title;
    this.#headline = `${title}: starting`;
    this.#steps = steps.map((step) => ({ ...step, state: 'waiting' }));
    setHandler(progress, () => this.snapshot(), {
      description: 'Steps of this run with state, bytes, rows and chunks',
    });
    setHandler(transferProgress, (update) => this.transferred(update), {
      description: 'Sent by transfer children: how far they are',
    });
    this.#show();
  }

  snapshot(): Progress {
    return {
      title: this.#title,
      state: this.#state,
      headline: this.#headline,
      startedAtMs: this.#startedAtMs,
      steps: [...this.#steps],
      ...defined({ paused: this.#pausedText() }),
    };
  }

  /** Enters a step. */
  start(id: string): void {
    this.#update(id, { state: 'running', startedAtMs: Date.now() });
    this.#headline = `${this.#title}: ${id} is running`;
    upsertSearchAttributes([{ key: phaseKey, value: id }]);
    this.#show();
    this.onMilestone(`${id} is running`);
  }

  /** Shows why nothing runs at the moment. */
  wait(why: string): void {
    this.#headline = `${this.#title}: ${why}`;
    this.#show();
    this.onMilestone(why);
  }

  /** Shows that the run waits for its plan's window. @param until when it opens: `22:00 Europe/Berlin`; undefined: it is open */
  pause(until: string | undefined): void {
    if (until === this.#pausedUntil) return;
    this.#pausedUntil = until;
    const step = this.#transferStep;
    this.wait(this.#pausedText() ?? (step === undefined ? 'its window is open' : `${step} is running`));
  }

  #pausedText(): string | undefined {
    return this.#pausedUntil === undefined ? undefined : `paused until ${this.#pausedUntil} by its window`;
  }

  end(id: string, state: StepState, note?: string): void {
    this.#update(id, { state, endedAtMs: Date.now(), ...defined({ note }) });
    this.#show();
  }

  note(id: string, changes: Partial<StepProgress>): void {
    this.#update(id, changes);
    this.#show();
  }

  /** From now on, transfers report their progress to step `id`. Its counts begin at zero. */
  beginTransfer(
    id: string,
    totals: { readonly tasks: number; readonly bytes?: number; readonly unit?: TransferUnit },
  ): void {
    const { tasks, bytes, unit } = totals;
    this.#transferStep = id;
    this.#tenths = 0;
    this.#transferring.set(id, new Map());
    this.#update(id, {
      tasksDone: 0,
      tasksTotal: tasks,
      rows: 0,
      bytes: 0,
      storedBytes: 0,
      ...defined({ totalBytes: bytes, unit }),
    });
    this.#show();
  }

  /** @param update undefined where a child of an earlier version ended, which had reported its end by a signal */
  transferred(update: TransferProgress | undefined): void {
    if (this.#transferStep === undefined || update === undefined) return;
    const batches = this.#transferring.get(this.#transferStep);
    batches?.set(update.shard, update);
    const sum = { tasksDone: 0, rows: 0, bytes: 0, storedBytes: 0 };
    for (const batch of batches?.values() ?? []) {
      sum.tasksDone += batch.tasksDone;
      sum.rows += batch.rows;
      sum.bytes += batch.bytes;
      sum.storedBytes += batch.storedBytes;
    }
    this.#update(this.#transferStep, sum);
    this.#show();
    const waiting = [...(batches?.values() ?? [])].find(({ pausedUntil }) => pausedUntil !== undefined);
    this.pause(waiting?.pausedUntil);
    this.#tellTenth(this.#transferStep);
  }

  #tellTenth(id: string): void {
    const {
      tasksDone = 0,
      tasksTotal = 0,
      totalBytes,
      bytes = 0,
      unit = 'chunks',
    } = this.#steps.find((step) => step.id === id) ?? {};
    const tenths = Math.floor((10 * tasksDone) / Math.max(1, tasksTotal));
    if (tenths <= this.#tenths) return;
    this.#tenths = tenths;
    const total = totalBytes === undefined ? '' : ` of about ${formatBytes(Math.max(bytes, totalBytes))}`;
    this.onMilestone(`${id}: ${tasksDone} of ${tasksTotal} ${unit}, ${formatBytes(bytes)}${total}`);
  }

  conclude(state: Progress['state'], headline: string): void {
    this.#state = state;
    this.#headline = headline;
    this.#pausedUntil = undefined;
    upsertSearchAttributes([{ key: resultKey, value: state }]);
    this.#show();
  }

  #update(id: string, changes: Partial<StepProgress>): void {
    const index = this.#steps.findIndex((step) => step.id === id);
    const step = this.#steps[index];
    if (step !== undefined) this.#steps[index] = { ...step, ...changes };
  }

  #show(): void {
    setCurrentDetails(renderProgress(this.snapshot(), Date.now()));
  }
}
