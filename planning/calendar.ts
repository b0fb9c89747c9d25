/** The wall clock of a time zone, for rules that speak of days and months. */

export type Period = 'hour' | 'day' | 'week' | 'month' | 'year';

const DAY_MS = 86_400_000;
const formats = new Map<string, Intl.DateTimeFormat>();

/**
 * The name of the hour, day, ISO week, month or year in which an instant falls in a zone, e.g. `2026-10-25T02+02:00`,
 * `2026-10-25`, `2026-W43`. The hour that comes twice when clocks go back counts as two.
 */
export function periodOf(ms: number, period: Period, timezone: string): string {
  const wall = wallClockOf(ms, timezone);
  const text = new Date(wall).toISOString();
  switch (period) {
    case 'hour':
      return `${text.slice(0, 'yyyy-mm-ddThh'.length)}${offsetText(wall - floorTo(ms, 1_000))}`;
    case 'day':
      return text.slice(0, 'yyyy-mm-dd'.length);
    case 'week':
      return weekOf(wall);
    case 'month':
      return text.slice(0, 'yyyy-mm'.length);
    case 'year':
      return text.slice(0, 'yyyy'.length);
  }
}

/** What clocks in the zone show, as if it were UTC: milliseconds since 1970, to the second. */
export function wallClockOf(ms: number, timezone: string): number {
  const seconds = floorTo(ms, 1_000);
  return timezone === 'UTC' ? seconds : seconds + offsetOf(seconds, timezone);
}

/** Clocks change at quarters of an hour of UTC, so one answer serves all instants of a quarter. */
const QUARTER_MS = 15 * 60_000;
const OFFSETS_KEPT = 100_000;
const offsets = new Map<string, number>();

function offsetOf(ms: number, timezone: string): number {
  const quarter = floorTo(ms, QUARTER_MS);
  const name = `${timezone} ${quarter}`;
  const known = offsets.get(name);
  if (known !== undefined) return known;
  const part: Record<string, number> = {};
  for (const { type, value } of formatOf(timezone).formatToParts(quarter)) part[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
  const offset = Date.UTC(year, month - 1, day, hour, minute, second) - quarter;
  if (offsets.size >= OFFSETS_KEPT) offsets.clear();
  offsets.set(name, offset);
  return offset;
}

function formatOf(timezone: string): Intl.DateTimeFormat {
  const known = formats.get(timezone);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat('en-US', {
    timeZone: timezone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  formats.set(timezone, made);
  return made;
}

/** ISO 8601: a week begins on Monday and belongs to the year that has its Thursday. */
function weekOf(wall: number): string {
  const weekday = (new Date(wall).getUTCDay() + 6) % 7;
  const thursday = new Date(floorTo(wall, DAY_MS) + (3 - weekday) * DAY_MS);
  const year = thursday.getUTCFullYear();
  const week = 1 + Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / (7 * DAY_MS));
  return `${year}-W${String(week).padStart(2, '0')}`;
}

function offsetText(offsetMs: number): string {
  const minutes = Math.abs(offsetMs) / 60_000;
  const hours = String(Math.floor(minutes / 60)).padStart(2, '0');
  return `${offsetMs < 0 ? '-' : '+'}${hours}:${String(Math.floor(minutes % 60)).padStart(2, '0')}`;
}

function floorTo(value: number, unit: number): number {
  return Math.floor(value / unit) * unit;
}
