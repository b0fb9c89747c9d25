import { barOf, formatAmount, formatBytes, formatDuration } from '../model/amounts.ts';
import { type Progress, rateOf, type StepProgress } from '../workflows/progress.ts';

/** Progress as text: a screen of bars for a terminal, lines for a pipe. Pure. */

const MARKS: Readonly<Record<StepProgress['state'], string>> = {
  waiting: '·',
  running: '▶',
  done: '✔',
  failed: '✘',
  skipped: '–',
  cancelled: '■',
};

/** The whole view, which is redrawn in place. Lines are cut at `columns`. */
export function renderScreen(progress: Progress, nowMs: number, columns: number): string {
  const width = Math.max(...progress.steps.map((step) => step.id.length));
  const lines = progress.steps.map((step) => {
    const head = `${MARKS[step.state]} ${step.id.padEnd(width)}`;
    return `${head}  ${describeStep(step, nowMs)}`;
  });
  return [progress.headline, ...lines].map((line) => cut(line, columns)).join('\n');
}

/** One line for each step whose state has changed since `previous`, and for each tenth of a transfer. */
export function changedLines(previous: Progress | undefined, current: Progress, nowMs: number): string[] {
  const { paused } = current;
  const lines: string[] = paused === undefined || paused === previous?.paused ? [] : [paused];
  for (const step of current.steps) {
    const before = previous?.steps.find((other) => other.id === step.id);
    const moved = (before?.state ?? 'waiting') !== step.state;
    const tenth = (of: StepProgress | undefined) =>
      Math.floor(((of?.tasksDone ?? 0) * 10) / (of?.tasksTotal || 1));
    if (moved || (step.state === 'running' && tenth(step) > tenth(before))) {
      lines.push(`${MARKS[step.state]} ${step.id}: ${describeStep(step, nowMs)}`.trimEnd());
    }
  }
  return lines;
}

function describeStep(step: StepProgress, nowMs: number): string {
  const parts: string[] = [];
  const rate = rateOf(step, nowMs);
  if (step.state === 'running' && step.tasksTotal) parts.push(barOf((step.tasksDone ?? 0) / step.tasksTotal));
  if (step.state === 'running' || step.state === 'skipped' || step.state === 'cancelled')
    parts.push(step.state);
  if (step.tasksTotal !== undefined)
    parts.push(`${step.tasksDone ?? 0}/${step.tasksTotal} ${step.unit ?? 'chunks'}`);
  if (step.rows !== undefined) parts.push(formatAmount(step.rows, 'row'));
  if (step.bytes !== undefined) parts.push(formatBytes(step.bytes));
  if (rate.bytesPerSecond !== undefined) parts.push(`${formatBytes(rate.bytesPerSecond)}/s`);
  if (rate.etaMs !== undefined) parts.push(`${formatDuration(rate.etaMs)} left`);
  if (step.startedAtMs !== undefined && step.endedAtMs !== undefined) {
    parts.push(formatDuration(step.endedAtMs - step.startedAtMs));
  }
  if (step.note !== undefined) parts.push(step.note);
  return parts.join('  ');
}

function cut(line: string, columns: number): string {
  return line.length <= columns ? line : `${line.slice(0, Math.max(1, columns - 1))}…`;
}
