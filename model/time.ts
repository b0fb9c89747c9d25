/** Units of time, in milliseconds. A day has 24 hours: days of a calendar are `planning/zone.ts`. */
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
