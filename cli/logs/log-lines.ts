import type { RunEvent } from '../../library/logs/run-events.ts';

/** From this many on, equal events in a row share one line. */
const TOGETHER = 4;

const MARKS: Readonly<Record<RunEvent['kind'], string>> = {
  began: '▶',
  stage: '§',
  done: '✔',
  retry: '↻',
  failed: '✘',
  cancelled: '■',
  message: '→',
  part: '+',
  ended: '●',
};

/** Events for people: each date once, then one line for each event. Events in a part of the run are indented. Pure. */
export function logLines(root: string, events: readonly RunEvent[]): readonly string[] {
  const lines: string[] = [];
  let date = '';
  for (let index = 0; index < events.length; ) {
    const event = events[index];
    if (event === undefined) break;
    const alike = countAlike(events, index);
    const count = alike >= TOGETHER ? alike : 1;
    const last = events[index + count - 1] ?? event;
    if (last.at.slice(0, 10) !== date) {
      date = last.at.slice(0, 10);
      lines.push(`${date} (UTC)`);
    }
    const text = count === 1 ? event.text : `${event.activity}: ${count} done`;
    const indent = event.workflowId === root ? '' : '  ';
    lines.push(`  ${last.at.slice(11, 23)}  ${indent}${MARKS[event.kind]} ${text}`);
    index += count;
  }
  return lines;
}

/** How many activities in a row have the same name and part of the run and succeeded at their first attempt. */
function countAlike(events: readonly RunEvent[], from: number): number {
  const first = events[from];
  const isAlike = (event: RunEvent) =>
    event.kind === 'done' &&
    event.attempt === undefined &&
    event.activity === first?.activity &&
    event.workflowId === first?.workflowId;
  const other = events.findIndex((event, index) => index >= from && !isAlike(event));
  return (other === -1 ? events.length : other) - from;
}
