import { didYouMean } from './closest.ts';
import { quoted, type Reading, refused } from './diagnostic.ts';
import { TIMEZONE_ALIASES } from './timezone-aliases.ts';

/**
 * Checks the name of a time zone of the IANA database. Accepts only the exact spelling: Temporal's server reads zones from files, so it
 * doesn't know `utc` or `europe/berlin`, and it would refuse such a schedule when the plan is applied.
 */
export function readTimezone(text: string): Reading<string> {
  const names = knownNames();
  const canonical = names.get(text.toLowerCase()) ?? resolved(text);
  if (canonical === text) return { value: text };
  return refused(
    'BAD_TIMEZONE',
    canonical === undefined
      ? `${quoted(text)} is not a time zone`
      : `${quoted(text)} is not how the time zone is spelled`,
    canonical === undefined
      ? (didYouMean(text, [...names.values()]) ??
          'Write a name of the IANA time zone database, such as `UTC` or `Europe/Berlin`.')
      : `Write \`${canonical}\`.`,
  );
}

let known: ReadonlyMap<string, string> | undefined;

/** Known names, by their names in lower case. */
function knownNames(): ReadonlyMap<string, string> {
  known ??= new Map(
    [...Intl.supportedValuesOf('timeZone'), ...TIMEZONE_ALIASES].map((name) => [name.toLowerCase(), name]),
  );
  return known;
}

/** Node's name for a zone that is in neither list. Node's data may be newer than the list of aliases. */
function resolved(name: string): string | undefined {
  // Intl knows offsets such as `+02:00`, but Temporal's schedules don't.
  if (!/^[A-Za-z][A-Za-z0-9_+\-/]*$/.test(name)) return undefined;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
