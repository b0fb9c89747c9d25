import { DAY_MS } from '../model/time.ts';
import type { WindowSpan } from '../model/transfer-window.ts';
import { quoted, type Reading, refused } from './diagnostic.ts';

/** For the JSON Schema: two times of a day. */
export const WINDOW_PATTERN = '^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$';

/** Reads a part of each day: `22:00-05:00`, which goes over midnight, or `00:00-06:30`. */
export function readWindow(text: string): Reading<WindowSpan> {
  if (!new RegExp(WINDOW_PATTERN).test(text)) {
    return refused(
      'BAD_WINDOW',
      `${quoted(text)} is not a part of a day`,
      'Write two times with a hyphen between, such as `22:00-05:00`.',
    );
  }
  const [fromMs = 0, toMs = 0] = text.split('-').map(timeOf);
  if (fromMs !== toMs) return { value: { fromMs, toMs } };
  return refused(
    'BAD_WINDOW',
    `${quoted(text)} ends where it begins`,
    'Write a later or an earlier end; or leave `window` out where the transfer may always run.',
  );
}

function timeOf(text: string): number {
  const [hours = 0, minutes = 0] = text.split(':').map(Number);
  return Math.min(DAY_MS, (hours * 60 + minutes) * 60_000);
}
