import type { DesiredSchedule } from './schedules.ts';

/**
 * When a schedule fires, by the rules of Temporal's scheduler; `test/planning/next-runs.test.ts` compares with a real one.
 * Every field must match; day of the month and day of the week must both match, unlike in cron(8). A local time that a
 * change of the clocks leaves out is skipped, and one that it repeats comes twice.
 */
export function nextRuns(
  { cron, timezone }: Pick<DesiredSchedule, 'cron' | 'timezone'>,
  from: Date,
  count: number,
): readonly Date[] {
  const clock = new WallClock(timezone);
  const times = new Set<number>();
  for (const line of cron) {
    let found = 0;
    for (const time of runsOf(line, clock, from.getTime())) {
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

const DAY_MS = 86_400_000;
const YEARS_AHEAD = 40;

function* runsOf(line: string, clock: WallClock, afterMs: number): Generator<number> {
  const [minutes, hours, days, months, weekdays] = fieldsOf(line);
  if (minutes === undefined || hours === undefined || days === undefined) return;
  if (months === undefined || weekdays === undefined) return;
  const firstDayMs = Math.floor(clock.wallOf(afterMs) / DAY_MS) * DAY_MS - DAY_MS;
  for (let day = 0; day <= YEARS_AHEAD * 366; day++) {
    const dayMs = firstDayMs + day * DAY_MS;
    const date = new Date(dayMs);
    const isDue =
      months.has(date.getUTCMonth() + 1) &&
      days.has(date.getUTCDate()) &&
      (weekdays.has(date.getUTCDay()) || (date.getUTCDay() === 0 && weekdays.has(7)));
    if (!isDue) continue;
    const instants = [...hours].flatMap((hour) =>
      [...minutes].flatMap((minute) => clock.instantsOf(dayMs + (hour * 60 + minute) * 60_000)),
    );
    for (const instant of instants.sort((one, other) => one - other)) if (instant > afterMs) yield instant;
  }
}

const SHORTHANDS: Readonly<Record<string, string>> = {
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
};

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

const BOUNDS = [
  { least: 0, most: 59, names: [] },
  { least: 0, most: 23, names: [] },
  { least: 1, most: 31, names: [] },
  { least: 1, most: 12, names: MONTHS },
  { least: 0, most: 7, names: WEEKDAYS },
] as const;

/** The values of the five fields of a line that the compiler has checked. */
function fieldsOf(line: string): readonly Set<number>[] {
  const fields = (SHORTHANDS[line] ?? line).split(' ');
  return BOUNDS.map(({ least, most, names }, index) => {
    const number = (text: string) => {
      const named = (names as readonly string[]).indexOf(text.toLowerCase());
      return named < 0 ? Number(text) : named + least;
    };
    const values = new Set<number>();
    for (const item of (fields[index] ?? '*').split(',')) {
      const [range = '*', step] = item.split('/');
      const [first = '', last] = range.split('-');
      const isAll = range === '*';
      const from = isAll ? least : number(first);
      const to = isAll ? most : last !== undefined ? number(last) : step === undefined ? from : most;
      for (let value = from; value <= to; value += Number(step ?? 1)) values.add(value);
    }
    return values;
  });
}

/** The wall clock of a time zone; a wall time is written as if it were UTC, in milliseconds. */
class WallClock {
  private readonly format: Intl.DateTimeFormat;

  constructor(timezone: string) {
    this.format = new Intl.DateTimeFormat('en-US', {
      timeZone: timezone,
      hourCycle: 'h23',
      ...({ year: 'numeric', month: 'numeric', day: 'numeric' } as const),
      ...({ hour: 'numeric', minute: 'numeric', second: 'numeric' } as const),
    });
  }

  wallOf(instantMs: number): number {
    const parts = new Map(
      this.format.formatToParts(instantMs).map(({ type, value }) => [type, Number(value)]),
    );
    const of = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0;
    return Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'), of('second'));
  }

  /** The instants of a wall time: none where clocks were put forward over it, two where they were put back. */
  instantsOf(wallMs: number): readonly number[] {
    const offsets = [wallMs - DAY_MS, wallMs + DAY_MS].map((near) => this.wallOf(near) - near);
    const candidates = new Set(offsets.map((offset) => wallMs - offset));
    return [...candidates].filter((instant) => this.wallOf(instant) === wallMs);
  }
}
