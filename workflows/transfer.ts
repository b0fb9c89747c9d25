import { patched, startChild } from '@temporalio/workflow';
import type { TableUnit } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import { activitiesFor, LENGTHY_MS } from './activity-proxies.ts';
import { reportToParent, runChild } from './children.ts';
import type { TransferInput } from './messages.ts';
import type { TransferProgress } from './progress.ts';
import type { RunProgress } from './run-progress.ts';
import { inParallel } from './scopes.ts';
import { WindowGate } from './window-gate.ts';

/** The interval for inputs without one, which an earlier version made. Their children also report their end. */
const EARLIER_REPORT_INTERVAL_MS = 1_000;

/** A batch with at most this many tasks is moved in the run's own history. */
const TASKS_WITHOUT_CHILD = 50;

/**
 * Moves one batch of a run's work list, and adds its progress to the run's. A small batch is moved in the run itself, since a
 * child costs five more workflow tasks and two waits for them. A larger one is moved in a child.
 */
export async function moveBatch(
  input: TransferInput,
  progress: RunProgress,
  child: { readonly workflowId: string; readonly staticSummary: string },
): Promise<void> {
  const inRun = input.tasks <= TASKS_WITHOUT_CHILD && patched('small-transfers');
  const end = inRun
    ? await moveTasks(input, async (update) => progress.transferred(update))
    : await runChild(() => startChild(transfer, { ...child, args: [input] }));
  progress.transferred(end);
}

/** The child of `backup` or `restore` that moves a large batch, so that its parent's history stays small whatever the size of the data. */
export async function transfer(input: TransferInput): Promise<TransferProgress> {
  return await moveTasks(input, reportToParent);
}

/**
 * Uploads or loads one batch of a work list: at most 500 tasks, `parallelism` at once. The tasks themselves are in the repository. A load
 * also applies the post-data of tables that are complete, in the same slots. The plan decides how often a task is retried; the defaults of
 * each verb are in `compiler/verbs.ts`, those of a restore in `workflows/restore.ts`.
 *
 * @returns the progress at the end: all tasks, with what they moved
 */
async function moveTasks(
  input: TransferInput,
  send: (progress: TransferProgress) => Promise<void>,
): Promise<TransferProgress> {
  const { parallelism, retry, timeoutMs } = input.options;
  const sum = {
    shard: input.direction === 'upload' ? input.shard : input.firstTask,
    tasksDone: 0,
    rows: 0,
    bytes: 0,
    storedBytes: 0,
  };
  const intervalMs = input.reportEveryMs ?? (patched('report-interval') ? EARLIER_REPORT_INTERVAL_MS : 0);
  let reportedAtMs = Date.now();
  const report = async (): Promise<void> => {
    reportedAtMs = Date.now();
    await send({ ...sum, ...defined({ pausedUntil: gate?.pausedUntil }) });
  };
  const window = input.direction === 'upload' ? input.window : undefined;
  const gate = window && new WindowGate(window, report);
  const ready = new ReadyUnits(input);

  const move = async (index: number): Promise<void> => {
    // Without a window nothing is awaited here, so that earlier histories replay.
    if (gate !== undefined) await gate.pass();
    const activities = activitiesFor({ summary: summaryOf(input, index), retry, timeoutMs });
    if (input.direction === 'upload') {
      const { ref, source, readPoint, shard, zstdLevel } = input;
      const task = await activities.upload({ ref, source, readPoint, shard, task: index, zstdLevel });
      sum.rows += task.rows;
      sum.bytes += task.bytes;
      sum.storedBytes += task.storedBytes;
    } else {
      const loaded = await activities.load({ request: input.request, task: input.firstTask + index });
      sum.rows += loaded.rows;
      sum.bytes += loaded.bytes;
    }
    sum.tasksDone += 1;
    ready.taskEnded(index);
    const isLast = sum.tasksDone === input.tasks;
    const due = sum.tasksDone % input.reportEvery === 0 && Date.now() - reportedAtMs >= intervalMs;
    if (isLast ? ready.count > 0 : due) await report();
  };

  // Units that are ready come before the next chunk, since other units wait for them.
  const { count } = ready;
  await inParallel(
    count + input.tasks,
    parallelism,
    (index) => (index < count ? ready.apply(index) : move(index - count)),
    (index) => index >= count || ready.isReady(index),
  );
  if (input.reportEveryMs === undefined && count === 0) await report();
  return sum;
}

/** The table units that become ready in this batch, and what each waits for. */
class ReadyUnits {
  /** The units of this batch, each with its index among all units. */
  readonly #own: readonly (readonly [place: number, unit: TableUnit])[];
  readonly #input: TransferInput;
  readonly #endedTasks = new Set<number>();
  /** Number of tasks that have ended, counted from the first up to the first gap. */
  #tasksEnded = 0;
  readonly #open: Set<number>;
  #openTasks: number;

  constructor(input: TransferInput) {
    this.#input = input;
    const units = input.direction === 'load' ? (input.postData?.units ?? []) : [];
    const firstTask = input.direction === 'load' ? input.firstTask : 0;
    this.#own = [...units.entries()].filter(
      ([, { afterTasks }]) => afterTasks > firstTask && afterTasks <= firstTask + input.tasks,
    );
    this.#openTasks = input.tasks;
    this.#open = new Set(this.#own.map(([place]) => place));
  }

  get count(): number {
    return this.#own.length;
  }

  taskEnded(index: number): void {
    this.#openTasks -= 1;
    this.#endedTasks.add(index);
    while (this.#endedTasks.delete(this.#tasksEnded)) this.#tasksEnded += 1;
  }

  isReady(index: number): boolean {
    const input = this.#input;
    const [, unit] = this.#own[index] ?? [];
    if (unit === undefined || input.direction !== 'load') return false;
    const isLoaded = input.firstTask + this.#tasksEnded >= unit.afterTasks;
    return isLoaded && !unit.afterUnits.some((place) => this.#open.has(place));
  }

  async apply(index: number): Promise<void> {
    const input = this.#input;
    const [place, tableUnit] = this.#own[index] ?? [];
    if (place === undefined || tableUnit === undefined || input.direction !== 'load') return;
    const { wave, unit } = tableUnit;
    const units = input.postData?.waves[wave] ?? 0;
    const activities = activitiesFor({
      retry: input.options.retry,
      timeoutMs: LENGTHY_MS,
      summary: postDataSummary(wave, unit),
    });
    await activities.postData({ request: input.request, wave, unit, units, helpers: this.#helpers() });
    this.#open.delete(place);
  }

  /** Parallel workers of the server for an index: it gets the share of slots that will have nothing to do. */
  #helpers(): number {
    const left = this.#openTasks + this.#open.size;
    return Math.max(0, Math.floor(this.#input.options.parallelism / left) - 1);
  }
}

/** The line that the UI's history shows for a unit of post-data. */
export function postDataSummary(wave: number, unit: number): string {
  return `post-data ${wave + 1}.${unit + 1}`;
}

function summaryOf(input: TransferInput, index: number): string {
  return input.direction === 'upload'
    ? `chunk ${index + 1} of ${input.tasks} (batch ${input.shard + 1}, epoch ${input.readPoint.epoch})`
    : `chunk ${input.firstTask + index + 1}`;
}
