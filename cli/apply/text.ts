import type { PlanChange, ScheduleDiff } from './changes.ts';
import type { FieldChange } from './diff.ts';

/** The changes for people, in the manner of Terraform. Pure. */

const SIGNS = { add: '+', change: '~', remove: '-', keep: ' ', none: ' ', failed: '!' } as const;
const MAX_DELETIONS_SHOWN = 10;

/** What will happen in the source. It is printed before it is done. */
const ARCHIVE = {
  begin:
    'archive of changes: makes a publication and a replication slot in each database of the source, of the tables that have a replica identity (on YugabyteDB a primary key; up to 2025.2 a slot has the server refuse TRUNCATE and what rewrites a table)',
  end: 'archive of changes: drops its publications and replication slots; what is archived stays in the repository',
} as const;

/** The lines that describe the change of one plan. */
export function changeLines(change: PlanChange): readonly string[] {
  const { plan, action, note, fields, steps, schedules, retention, archive, error } = change;
  if (error !== undefined) return [`${SIGNS.failed} plan ${plan}: ${error.message}`];
  if (action === 'none') {
    const told = note === undefined ? [] : [`  plan ${plan}: ${note}`];
    return [...told, ...schedules.filter(({ pausedByHand }) => pausedByHand).map(pauseLine)];
  }
  return [
    `${SIGNS[action]} plan ${plan}${note === undefined ? '' : `: ${note}`}`,
    // The file itself describes a new plan.
    ...(action === 'change' ? fields.map(fieldLine) : []),
    ...(steps.length > 0 && action === 'change' ? [`    steps changed: ${steps.join(', ')}`] : []),
    ...schedules.flatMap(scheduleLines),
    ...(retention === undefined ? [] : retentionLines(retention)),
    ...(archive === undefined ? [] : [`    ${ARCHIVE[archive]}`]),
  ];
}

/** How many plans would be added, changed and removed, one sentence. */
export function summaryLine(changes: readonly PlanChange[]): string {
  const count = (action: PlanChange['action']) => changes.filter((change) => change.action === action).length;
  return `${count('add')} to add, ${count('change')} to change, ${count('remove')} to remove.`;
}

function fieldLine({ field, from, to }: FieldChange): string {
  if (from === null) return `    + ${field}: ${JSON.stringify(to)}`;
  if (to === null) return `    - ${field}: ${JSON.stringify(from)}`;
  return `    ~ ${field}: ${JSON.stringify(from)} → ${JSON.stringify(to)}`;
}

/** The line for a schedule that stays paused by hand, of a plan that doesn't change otherwise. */
function pauseLine({ schedule }: ScheduleDiff): string {
  return `  schedule ${schedule} is ${PAUSED_BY_HAND}`;
}

const PAUSED_BY_HAND = 'paused by hand, and stays so: --no-keep-pauses lets it go on';

function scheduleLines(diff: ScheduleDiff): readonly string[] {
  const { schedule, action, drifted, fields, paused, pausedByHand, timezone, next } = diff;
  const notes = [
    ...(drifted ? ['changed by hand; it is put back'] : []),
    ...(paused && action !== 'remove' ? [pausedByHand ? PAUSED_BY_HAND : 'paused'] : []),
  ];
  return [
    `  ${SIGNS[action]} schedule ${schedule}${notes.length === 0 ? '' : ` (${notes.join(', ')})`}`,
    ...(drifted ? fields.map(fieldLine) : []),
    ...(timezone === undefined
      ? []
      : [`      next: ${next.map((time) => localTime(time, timezone)).join(', ')} (${timezone})`]),
  ];
}

function retentionLines(retention: NonNullable<PlanChange['retention']>): readonly string[] {
  if ('unknown' in retention) {
    return [`    what the new retention would delete can't be said here: ${retention.unknown}`];
  }
  const { deletes, keeps } = retention;
  if (deletes.length + keeps === 0) return [];
  if (deletes.length === 0) return [`    the new retention deletes nothing now, and keeps ${keeps}`];
  return [
    `    the new retention would delete ${deletes.length} of ${deletes.length + keeps} backups now:`,
    ...deletes.slice(0, MAX_DELETIONS_SHOWN).map(({ backup, instant }) => `      - ${backup} (${instant})`),
    ...(deletes.length > MAX_DELETIONS_SHOWN
      ? [`      … and ${deletes.length - MAX_DELETIONS_SHOWN} more`]
      : []),
  ];
}

/** A time on the zone's wall clock: `Wed 2026-11-25 02:00`. */
function localTime(time: string, timezone: string): string {
  const parts = new Intl.DateTimeFormat('en-CA', {
    timeZone: timezone,
    weekday: 'short',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(new Date(time));
  const of = (type: Intl.DateTimeFormatPartTypes) => parts.find((part) => part.type === type)?.value ?? '';
  return `${of('weekday').replace('.', '')} ${of('year')}-${of('month')}-${of('day')} ${of('hour')}:${of('minute')}`;
}
