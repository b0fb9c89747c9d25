import { DAY_MS, HOUR_MS } from '../../model/time.ts';
import type { TransferWindow } from '../../model/transfer-window.ts';
import { clockText, openFor, opensAt } from '../../planning/transfer-window.ts';

const windowOf = (timezone: string, ...spans: readonly (readonly [number, number])[]): TransferWindow => ({
  spans: spans.map(([from, to]) => ({ fromMs: from * HOUR_MS, toMs: to * HOUR_MS })),
  timezone,
});
const NIGHT = windowOf('Europe/Berlin', [22, 5]);

const next = (window: TransferWindow, at: string): string => {
  const opens = opensAt(window, Date.parse(at));
  return opens === undefined ? 'open' : new Date(opens).toISOString();
};

test.each([
  ['before midnight', NIGHT, '2026-11-30T21:00:00Z', 'open'],
  ['after midnight', NIGHT, '2026-12-01T03:59:59Z', 'open'],
  ['at its end', NIGHT, '2026-12-01T04:00:00Z', '2026-12-01T21:00:00.000Z'],
  ['by day', NIGHT, '2026-07-01T12:00:00Z', '2026-07-01T20:00:00.000Z'],
  [
    'the next of several',
    windowOf('UTC', [1, 2], [12, 13]),
    '2026-11-30T02:00:00Z',
    '2026-11-30T12:00:00.000Z',
  ],
  ['tomorrow', windowOf('UTC', [1, 2]), '2026-11-30T02:00:00Z', '2026-12-01T01:00:00.000Z'],
  ['up to midnight', windowOf('UTC', [12, 24]), '2026-11-30T23:59:59Z', 'open'],
  [
    'where clocks skip its beginning',
    windowOf('Europe/Berlin', [2, 5]),
    '2026-03-29T00:30:00Z',
    '2026-03-29T01:00:00.000Z',
  ],
  [
    'where clocks show its beginning twice',
    windowOf('Europe/Berlin', [2, 5]),
    '2026-10-24T23:30:00Z',
    '2026-10-25T00:00:00.000Z',
  ],
])('a window opens %s', (_, window, at, expected) => {
  expect(next(window, at)).toBe(expected);
});

test('time while a window is closed does not count', () => {
  const from = Date.parse('2026-11-30T21:00:00Z');
  expect(openFor(NIGHT, from, 7 * HOUR_MS)).toBe(7 * HOUR_MS);
  expect(openFor(NIGHT, from, 8 * HOUR_MS)).toBe(7 * HOUR_MS + 17 * HOUR_MS + HOUR_MS);
  // From noon, ten hours pass until it opens.
  expect(openFor(NIGHT, Date.parse('2026-11-30T11:00:00Z'), HOUR_MS)).toBe(11 * HOUR_MS);
  expect(openFor(windowOf('UTC', [0, 12], [12, 24]), from, 3 * DAY_MS)).toBe(3 * DAY_MS);
});

test('an opening is told by the clocks of its zone', () => {
  expect(clockText(NIGHT, Date.parse('2026-11-30T21:00:00Z'))).toBe('22:00 Europe/Berlin');
});
