import { type CronTimes, cronTimes } from '../model/cron.ts';
import { DAY_MS } from '../model/time.ts';
import type { DesiredSchedule } from './schedules.ts';
import { instantsOf, wallClockOf } from './zone.ts';

/**
 * When a schedule fires, by the rules of Temporal's scheduler; `test/planning/next-runs.test.ts` compares it with a real one.
 * Every field must match, also both day of the month and day of the week, unlike in cron(8). A local time that a change of the
 * clocks skips doesn't fire, and one that it repeats fires twice.
 */
export function nextRuns(
  { cron, timezone }: Pick<DesiredSchedule, 'cron' | 'timezone'>,
  from: Date,
  count: number,
): readonly Date[] {
  const times = new Set<number>();
  for (const line of cron) {
    let found = 0;
    for (const time of runsOf(cronTimes(line), timezone, from.getTime())) {
      times.add(time);
      found += 1;
      if (found === count) break;
    }
  }
  return [...times]
    .sort((one, other) => one - other)
    .slice(0, count)
    .map((time) => new Date(time));
}

const YEARS_AHEAD = 40;

function* runsOf(due: CronTimes, timezone: string, afterMs: number): Generator<number> {
  const firstDayMs = Math.floor(wallClockOf(afterMs, timezone) / DAY_MS) * DAY_MS - DAY_MS;
  for (let day = 0; day <= YEARS_AHEAD * 366; day++) {
    const dayMs = firstDayMs + day * DAY_MS;
    const date = new Date(dayMs);
    const isDue =
      due.months.has(date.getUTCMonth() + 1) &&
      due.days.has(date.getUTCDate()) &&
      due.weekdays.has(date.getUTCDay());
    if (!isDue) continue;
    const instants = [...due.hours].flatMap((hour) =>
      [...due.minutes].flatMap((minute) => instantsOf(dayMs + (hour * 60 + minute) * 60_000, timezone)),
    );
    for (const instant of instants.sort((one, other) => one - other)) if (instant > afterMs) yield instant;
  }
}
