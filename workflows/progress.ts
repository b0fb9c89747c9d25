import { formatBytes, formatCount, formatDuration } from '../model/amounts.ts';
import type { Verb } from '../model/pipeline.ts';

/** Progress as data (query `progress`) and as Markdown (current details in the Temporal UI). Pure. */

export type StepState = 'waiting' | 'running' | 'done' | 'failed' | 'skipped' | 'cancelled';

/** The progress of one step. */
export interface StepProgress {
  readonly id: string;
  readonly verb: Verb | RestoreStage | PruneStage | DrillStage;
  readonly state: StepState;
  readonly startedAtMs?: number;
  readonly endedAtMs?: number;
  readonly tasksDone?: number;
  readonly tasksTotal?: number;
  /** What a task is. Absent: a chunk. */
  readonly unit?: TransferUnit;
  readonly rows?: number;
  /** Bytes of COPY text. */
  readonly bytes?: number;
  /** The value that `bytes` has at the end: an estimate for a backup, exact for a restore. Absent where it isn't known. */
  readonly totalBytes?: number;
  readonly storedBytes?: number;
  readonly note?: string;
}

/** For a universe: a backup saves tablets, and a restore fills replicas. */
export type TransferUnit = 'chunks' | 'tablets' | 'replicas';

export type RestoreStage =
  | 'plan'
  | 'turn'
  | 'safety'
  | 'prepare'
  | 'restoration'
  | 'load'
  | 'post-data'
  | 'replay'
  | 'finish'
  | 'assert'
  | 'discard';
export type DrillStage = 'choose' | 'rehearse' | 'record' | 'prove';

export type PruneStage = 'mark' | 'delete' | 'sweep';

/** The progress of a run: the result of the query `progress`. */
export interface Progress {
  readonly title: string;
  readonly state: 'running' | 'done' | 'failed' | 'cancelled';
  /** One sentence: the verdict, or what runs now. */
  readonly headline: string;
  readonly startedAtMs: number;
  readonly steps: readonly StepProgress[];
  /** Present while the run waits for its plan's window: `paused until 22:00 UTC by its window`. */
  readonly paused?: string;
}

/** How much of a batch has been moved. */
export interface TransferProgress {
  /** The number of the batch, which identifies the child. */
  readonly shard: number;
  readonly tasksDone: number;
  readonly rows: number;
  readonly bytes: number;
  readonly storedBytes: number;
  /** When the plan's window opens, in words. Present while the batch waits for it. */
  readonly pausedUntil?: string;
}

interface Rate {
  readonly bytesPerSecond?: number;
  readonly etaMs?: number;
}

/**
 * The rate of a step so far, and how long its remaining bytes take at that rate. Where their number isn't known, the remaining tasks are used
 * instead.
 */
export function rateOf(step: StepProgress, nowMs: number): Rate {
  if (step.startedAtMs === undefined || !step.bytes) return {};
  const elapsedMs = (step.endedAtMs ?? nowMs) - step.startedAtMs;
  if (elapsedMs <= 0) return {};
  const bytesPerSecond = (step.bytes * 1000) / elapsedMs;
  if (step.state !== 'running') return { bytesPerSecond };
  const { tasksDone = 0, tasksTotal = 0, totalBytes } = step;
  // All tasks are done. Bytes that seem to remain come from a total that was an estimate.
  if (tasksTotal > 0 && tasksDone >= tasksTotal) return { bytesPerSecond };
  if (totalBytes === undefined) {
    return tasksDone === 0
      ? { bytesPerSecond }
      : { bytesPerSecond, etaMs: (elapsedMs * Math.max(0, tasksTotal - tasksDone)) / tasksDone };
  }
  return { bytesPerSecond, etaMs: (Math.max(0, totalBytes - step.bytes) * 1000) / bytesPerSecond };
}

const MARKS: Readonly<Record<StepState, string>> = {
  waiting: '○ waiting',
  running: '▶ running',
  done: '✔ done',
  failed: '✘ failed',
  skipped: '– skipped',
  cancelled: '■ cancelled',
};

/** The operator's page: verdict first (the UI's frame shows few lines), then a table of steps. */
export function renderProgress(progress: Progress, nowMs: number): string {
  const lines = [`**${progress.headline}**`, ''];
  const unit = progress.steps.find((step) => step.unit !== undefined)?.unit ?? 'chunks';
  lines.push(`| step | state | time | ${unit} | rows | data | stored | rate | ETA |`);
  lines.push('|---|---|--:|--:|--:|--:|--:|--:|--:|');
  for (const step of progress.steps) {
    const rate = rateOf(step, nowMs);
    const cells = [
      step.id === step.verb ? step.id : `${step.id} (${step.verb})`,
      MARKS[step.state],
      step.startedAtMs === undefined ? '' : formatDuration((step.endedAtMs ?? nowMs) - step.startedAtMs),
      step.tasksTotal === undefined ? '' : `${step.tasksDone ?? 0} / ${step.tasksTotal}`,
      step.rows === undefined ? '' : formatCount(step.rows),
      step.bytes === undefined ? '' : formatBytes(step.bytes),
      step.storedBytes === undefined ? '' : formatBytes(step.storedBytes),
      rate.bytesPerSecond === undefined ? '' : `${formatBytes(rate.bytesPerSecond)}/s`,
      rate.etaMs === undefined ? '' : formatDuration(rate.etaMs),
    ];
    lines.push(`| ${cells.join(' | ')} |`);
  }
  const notes = progress.steps.filter((step) => step.note !== undefined);
  if (notes.length > 0) {
    lines.push('', ...notes.map((step) => `- **${step.id}**: ${step.note}`));
  }
  return lines.join('\n');
}
