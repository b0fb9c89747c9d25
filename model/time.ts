/** Units of time, in milliseconds. A day has 24 hours; `planning/zone.ts` knows days of a calendar. */
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
