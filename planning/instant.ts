import { instantsOf, isZone, offsetText, wallClockOf, wallText } from './zone.ts';

const UNIT_MS: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000 };

/** `now`, `-15m`, `-1d12h`, `now - 1h`: each unit once, the larger first. */
const RELATIVE =
  /^(?:now|(?:now\s*)?-\s*(?=\d)(?:(\d{1,9})d\s*)?(?:(\d{1,9})h\s*)?(?:(\d{1,9})m\s*)?(?:(\d{1,9})s)?)$/i;

/** Date, time, fraction of a second, and the rest, which is the zone. As ISO 8601 and psql write it; `,` is ISO's other decimal sign. */
const WRITTEN = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,12}))?)?\s*(.*))?$/is;

/** `+00`, `+0100`, `-03:30`. */
const OFFSET = /^([+-])(\d{2})(?::?(\d{2}))?$/;
const WIDEST_OFFSET_MS = 14.99 * 3_600_000;

type InstantReading =
  | { readonly at: Date }
  /** The problem has no full stop; the remedy is a sentence. */
  | { readonly problem: string; readonly remedy: string };

/**
 * Reads an instant as people write it: ISO 8601 or what psql prints, with `Z`, an offset, `UTC` or the name of a time zone; `now`; or a time
 * before now such as `-15m` or `-1d12h`. Instants have milliseconds; a finer one is refused, since rounding would make it another instant.
 */
export function readInstant(text: string, now: Date): InstantReading {
  const written = text.trim();
  return readRelative(written, now) ?? readWritten(written) ?? notAnInstant(written);
}

/** An instant for people: in UTC, and beside it the local time in the zone, to the second. @param timezone IANA name */
export function describeInstant(at: Date, timezone: string): string {
  const offset = offsetText(at.getTime(), timezone);
  const utc = at.toISOString();
  return offset === '+00:00' ? utc : `${utc} (${wallText(wallClockOf(at.getTime(), timezone))}${offset})`;
}

function readRelative(text: string, now: Date): InstantReading | undefined {
  const parts = RELATIVE.exec(text);
  if (parts === null) return undefined;
  const [, ...amounts] = parts;
  const agoMs = Object.values(UNIT_MS).reduce(
    (sum, unit, index) => sum + Number(amounts[index] ?? 0) * unit,
    0,
  );
  const at = new Date(now.getTime() - agoMs);
  return Number.isNaN(at.getTime()) ? undefined : { at };
}

function readWritten(text: string): InstantReading | undefined {
  const parts = WRITTEN.exec(text);
  if (parts === null) return undefined;
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '', zone = ''] = parts;
  const clock = `${year}-${month}-${day}T${hour}:${minute}:${second}`;
  const wallMs = Date.parse(`${clock}Z`);
  // `Date` reads 31 February as 3 March, and 24:00 as the next day.
  if (Number.isNaN(wallMs) || new Date(wallMs).toISOString() !== `${clock}.000Z`) return undefined;
  const millis = Number(fraction.slice(0, 3).padEnd(3, '0'));
  const placed = place(text, wallMs, zone);
  if ('problem' in placed) return placed;
  const ms = placed.at.getTime() + millis;
  if (/[1-9]/.test(fraction.slice(3))) return tooFine(text, ms);
  return { at: new Date(ms) };
}

/** The instant at which clocks in the zone show this time. */
function place(text: string, wallMs: number, zone: string): InstantReading {
  if (zone === '') return noZone(text);
  if (/^(?:Z|UTC|GMT)$/i.test(zone)) return { at: new Date(wallMs) };
  const offset = OFFSET.exec(zone);
  if (offset !== null) {
    const [, sign, hours, minutes = '00'] = offset;
    const offsetMs = Number(hours) * 3_600_000 + Number(minutes) * 60_000;
    if (Number(minutes) > 59 || offsetMs > WIDEST_OFFSET_MS) return notAnInstant(text);
    return { at: new Date(wallMs - (sign === '-' ? -offsetMs : offsetMs)) };
  }
  if (!isZone(zone)) {
    return {
      problem: `"${zone}" is no time zone`,
      remedy: 'Write UTC, an offset such as +02:00, or a name such as Europe/Berlin.',
    };
  }
  const [at, other] = instantsOf(wallMs, zone).toSorted((one, two) => one - two);
  const wall = wallText(wallMs);
  if (at === undefined) {
    return {
      problem: `${wall} does not exist in ${zone}, where the clocks were put forward over it`,
      remedy: 'Write an earlier or a later time, or one in UTC.',
    };
  }
  if (other !== undefined) {
    return {
      problem: `${wall} comes twice in ${zone}, where the clocks were put back`,
      remedy: `Write ${wall}${offsetText(at, zone)} or ${wall}${offsetText(other, zone)}.`,
    };
  }
  return { at: new Date(at) };
}

function noZone(text: string): InstantReading {
  const example = text.length === 'yyyy-mm-dd'.length ? `${text}T00:00` : text.replace(' ', 'T');
  return {
    problem: `"${text}" has no time zone, so it is a different instant in each place`,
    remedy: `Write ${example}Z if it is UTC, or with its offset, e.g. ${example}+01:00.`,
  };
}

function tooFine(text: string, ms: number): InstantReading {
  const [before, after] = [ms, ms + 1].map((one) => new Date(one).toISOString());
  return {
    problem: `"${text}" is finer than a millisecond, which is as fine as instants are kept`,
    remedy: `Write ${before} or ${after}.`,
  };
}

function notAnInstant(text: string): InstantReading {
  return {
    problem: `"${text}" is not an instant`,
    remedy:
      'Write e.g. 2026-11-22T10:04:00Z, "2026-11-22 10:04:00+01", "2026-11-22 10:04 Europe/Berlin", now, -15m or -1d12h.',
  };
}
