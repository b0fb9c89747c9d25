import { DAY_MS } from '../model/time.ts';

/** The wall clock of a time zone. A wall time is a number as if it were UTC: milliseconds since 1970, to the second. */

/** What clocks in the zone show at an instant. @param timezone IANA name */
export function wallClockOf(ms: number, timezone: string): number {
  const seconds = Math.floor(ms / 1_000) * 1_000;
  return timezone === 'UTC' ? seconds : seconds + offsetOf(seconds, timezone);
}

/** The instants at which a zone's clocks show a time: none if the clocks skip it, two if they repeat it. */
export function instantsOf(wallMs: number, timezone: string): readonly number[] {
  const offsets = [wallMs - DAY_MS, wallMs + DAY_MS].map((near) => wallClockOf(near, timezone) - near);
  const candidates = new Set(offsets.map((offset) => wallMs - offset));
  return [...candidates].filter((instant) => wallClockOf(instant, timezone) === wallMs);
}

/** Whether this names a time zone, in any spelling. */
export function isZone(name: string): boolean {
  // Intl also accepts offsets, which are not names.
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    formatOf(name);
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** How far clocks in the zone are ahead of UTC, as `+02:00`. @param timezone IANA name */
export function offsetText(ms: number, timezone: string): string {
  const minutes = Math.round((wallClockOf(ms, timezone) - Math.floor(ms / 1_000) * 1_000) / 60_000);
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `${minutes < 0 ? '-' : '+'}${String(hours).padStart(2, '0')}:${String(rest).padStart(2, '0')}`;
}

/** A wall time as `2026-11-29 14:48:00`. */
export function wallText(wallMs: number): string {
  return new Date(wallMs).toISOString().slice(0, 19).replace('T', ' ');
}

/** Zones change their clocks on quarters of an hour of UTC. So one offset holds for all instants of a quarter. */
const QUARTER_MS = 15 * 60_000;
const OFFSETS_KEPT = 100_000;
const knownOffsets = new Map<string, number>();

function offsetOf(ms: number, timezone: string): number {
  const quarter = Math.floor(ms / QUARTER_MS) * QUARTER_MS;
  const name = `${timezone} ${quarter}`;
  const known = knownOffsets.get(name);
  if (known !== undefined) return known;
  const part: Record<string, number> = {};
  for (const { type, value } of formatOf(timezone).formatToParts(quarter)) part[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
  const offset = Date.UTC(year, month - 1, day, hour, minute, second) - quarter;
  if (knownOffsets.size >= OFFSETS_KEPT) knownOffsets.clear();
  knownOffsets.set(name, offset);
  return offset;
}

const formats = new Map<string, Intl.DateTimeFormat>();

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
