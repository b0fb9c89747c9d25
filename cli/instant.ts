import { UsageError } from './output.ts';

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** An instant as people write it: ISO 8601 with a zone, or a time before now such as `-15m`, `-2h`, `-1d`. */
export function parseInstant(text: string, now: Date): Date {
  const relative = /^-(\d+)([smhd])$/.exec(text);
  if (relative !== null)
    return new Date(now.getTime() - Number(relative[1]) * (UNIT_MS[relative[2] ?? ''] ?? 0));
  const zoned = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})$/i.test(text);
  const milliseconds = zoned ? Date.parse(text.replace(' ', 'T')) : Number.NaN;
  if (Number.isNaN(milliseconds)) {
    throw new UsageError(
      `"${text}" is not an instant`,
      'Write ISO 8601 with a zone, e.g. 2026-11-22T10:04:00Z or 2026-11-22T10:04:00+01:00, or -15m.',
    );
  }
  return new Date(milliseconds);
}
