const HYBRID_TIME =
  /(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?\d*\s*(?:(Z|UTC)|([+-])(\d\d):?(\d\d))?\s*$/;

/**
 * Microseconds since 1970 (a decimal string, above 2^53) of a time that yb-admin printed: `2023-04-20 00:20:38.214201`, or with an offset. Without
 * an offset it is UTC, since the driver runs the program in that zone. Undefined if it is no such time.
 */
export function microsOf(text: string | undefined): string | undefined {
  const match = HYBRID_TIME.exec(text?.trim() ?? '');
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = '', , sign, offsetHours, offsetMinutes] = match;
  const seconds =
    Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second)) /
    1000;
  const offset =
    sign === undefined ? 0 : (Number(offsetHours) * 60 + Number(offsetMinutes)) * (sign === '-' ? -60 : 60);
  return String(BigInt(seconds - offset) * 1_000_000n + BigInt(fraction.padEnd(6, '0')));
}

/** ISO 8601 in UTC with microseconds. */
export function isoOfMicros(micros: string): string {
  const value = BigInt(micros);
  const fraction = value % 1_000_000n;
  const base = new Date(Number(value / 1_000_000n) * 1000).toISOString();
  return `${base.slice(0, 19)}.${String(fraction).padStart(6, '0')}Z`;
}

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  sec: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  hour: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
};

/** Milliseconds of an interval as schedules print it: `60 min`, or `60.000s` in old builds. */
export function intervalMs(text: string | undefined): number | undefined {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text?.trim() ?? '') ?? [];
  const factor = UNITS[unit.toLowerCase()] ?? UNITS[unit.toLowerCase().replace(/s$/, '')];
  return amount === undefined || factor === undefined ? undefined : Number(amount) * factor;
}
