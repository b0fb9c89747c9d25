import { formatDuration } from '../model/amounts.ts';
import type { RecoveryWindow } from '../model/recovery.ts';

interface TimelineOptions {
  readonly now: Date;
  /** Columns of the line. Default 72. */
  readonly width?: number;
}

/** What a column shows. If several things fall into it, it shows the last one in this order. */
const MARKS = { nothing: '·', range: '═', unverified: '○', verified: '●' } as const;

/**
 * The recovery window as a time line of fixed width: all of it, from its first instant to now, each column the same length
 * of time. Empty where nothing can be reached.
 *
 *     ●···●···●···●···●···●···○·····
 *     2026-11-17 02:00           now
 *     7 instants in 6 d 23 h; ● verified, ○ not; a column is 5 h 36 min
 */
export function timelineLines(window: RecoveryWindow, options: TimelineOptions): readonly string[] {
  const width = Math.max(24, options.width ?? 72);
  const nowMs = options.now.getTime();
  const times = [
    ...window.instants.map(({ at }) => Date.parse(at)),
    ...window.ranges.flatMap(({ from, to }) => [Date.parse(from), Date.parse(to)]),
  ];
  if (times.length === 0) return [];
  const startMs = times.reduce((one, other) => Math.min(one, other));
  // If the clock is ahead, an instant may lie after now; it must still be on the line.
  const endMs = times.reduce((one, other) => Math.max(one, other), Math.max(startMs + 1, nowMs));
  const columnMs = (endMs - startMs) / width;
  const columnOf = (ms: number) => Math.min(width - 1, Math.floor((ms - startMs) / columnMs));

  const columns = new Array<string>(width).fill(MARKS.nothing);
  for (const { from, to } of window.ranges) {
    columns.fill(MARKS.range, columnOf(Date.parse(from)), columnOf(Date.parse(to)) + 1);
  }
  for (const { at, verified } of window.instants) {
    const column = columnOf(Date.parse(at));
    if (verified) columns[column] = MARKS.verified;
    else if (columns[column] !== MARKS.verified) columns[column] = MARKS.unverified;
  }
  const from = minuteOf(startMs);
  return [
    columns.join(''),
    `${from}${(endMs === nowMs ? 'now' : minuteOf(endMs)).padStart(width - from.length)}`,
    legend(window, endMs - startMs, columnMs),
  ];
}

function legend({ instants, ranges }: RecoveryWindow, spanMs: number, columnMs: number): string {
  const verified = instants.filter((one) => one.verified).length;
  const counts = [
    ...(verified === 0 ? [] : [`${MARKS.verified} ${verified} verified`]),
    ...(verified === instants.length
      ? []
      : [`${MARKS.unverified} ${instants.length - verified} not verified`]),
    ...(ranges.length === 0 ? [] : [`${MARKS.range} every instant`]),
  ];
  return `${counts.join(', ')}, in ${formatDuration(spanMs)}; a column is ${formatDuration(columnMs)}`;
}

/** To the minute, in UTC, which is precise enough to read the line. */
function minuteOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 'yyyy-mm-ddThh:mm'.length).replace('T', ' ').concat('Z');
}
