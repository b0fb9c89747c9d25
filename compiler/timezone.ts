import { didYouMean } from './closest.ts';
import { quoted, type Reading, refused } from './diagnostic.ts';

/** Checks the name of a time zone of the IANA database. */
export function readTimezone(text: string): Reading<string> {
  // Offsets such as `+02:00` are known to Intl, and not to Temporal's schedules.
  if (/^[A-Za-z][A-Za-z0-9_+\-/]*$/.test(text) && isKnown(text)) return { value: text };
  return refused(
    'BAD_TIMEZONE',
    `${quoted(text)} is not a time zone`,
    didYouMean(text, Intl.supportedValuesOf('timeZone')) ??
      'Write a name of the IANA time zone database, such as `UTC` or `Europe/Berlin`.',
  );
}

function isKnown(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}
