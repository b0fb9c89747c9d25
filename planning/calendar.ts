import { DAY_MS } from '../model/time.ts';
import { wallClockOf } from './zone.ts';

/** Days, weeks and months, as the calendar of a time zone has them. */

export type Period = 'hour' | 'day' | 'week' | 'month' | 'year';

/**
 * The name of the hour, day, ISO week, month or year that contains an instant in a zone, e.g. `2026-10-25T02+02:00`,
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

/** ISO 8601: a week begins on Monday and belongs to the year that contains its Thursday. */
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
