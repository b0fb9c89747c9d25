const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

const ZONED =
  /^(\d{4})-(\d{2})-(\d{2})[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-](?:0\d|1[0-4]):?[0-5]\d)$/i;
const LOCAL = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?$/;

export type InstantReading =
  /** `micros` are those beyond the millisecond, 0 to 999. */
  | { readonly at: Date; readonly micros: number }
  /** Without a full stop; the remedy is a sentence. */
  | { readonly problem: string; readonly remedy: string };

/** An instant as people write it: ISO 8601 with a zone, or a time before now such as `-15m`, `-2h`, `-1d`. */
export function readInstant(text: string, now: Date): InstantReading {
  const relative = /^-(\d{1,9})([smhd])$/.exec(text);
  if (relative !== null) {
    const at = new Date(now.getTime() - Number(relative[1]) * (UNIT_MS[relative[2] ?? ''] ?? 0));
    if (!Number.isNaN(at.getTime())) return { at, micros: 0 };
  }
  const parts = ZONED.exec(text);
  if (parts !== null && isDay(Number(parts[1]), Number(parts[2]), Number(parts[3]))) {
    const at = new Date(text.replace(' ', 'T').toUpperCase());
    if (!Number.isNaN(at.getTime())) return { at, micros: microsBeyond(text) };
  }
  if (LOCAL.test(text)) {
    const example = text.length === 'yyyy-mm-dd'.length ? `${text}T00:00` : text.replace(' ', 'T');
    return {
      problem: `"${text}" has no time zone, so it is a different instant in each place`,
      remedy: `Write ${example}Z if it is UTC, or with its offset, e.g. ${example}+01:00.`,
    };
  }
  return {
    problem: `"${text}" is not an instant`,
    remedy: 'Write ISO 8601 with a zone, e.g. 2026-11-22T10:04:00Z or 2026-11-22T10:04:00+01:00, or -15m.',
  };
}

/** `Date` holds no more than milliseconds. */
function microsBeyond(text: string): number {
  const [, fraction = ''] = /\.(\d+)/.exec(text) ?? [];
  return Number(fraction.padEnd(6, '0').slice(3, 6));
}

/** `Date` takes 31 February for 3 March. */
function isDay(year: number, month: number, day: number): boolean {
  const date = new Date(Date.UTC(year, month - 1, day));
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}
