import { DAY_MS } from '../model/time.ts';
import type { TransferWindow } from '../model/transfer-window.ts';
import { instantsOf, wallClockOf, wallText } from './zone.ts';

/** When a plan's window is open, by the clocks of its zone. Instants are milliseconds since 1970. Pure. */

/** Where the clocks skip a time, these later ones stand for it. */
const AFTER_A_GAP_MS = [0, 30 * 60_000, 60 * 60_000, 120 * 60_000];

/** Bounds `openFor`: the longest timeout of a step has far fewer openings. */
const OPENINGS_AT_MOST = 10_000;

/** When a window opens next. Undefined where it is open now. */
export function opensAt(window: TransferWindow, nowMs: number): number | undefined {
  if (isOpen(window, nowMs)) return undefined;
  const starts = window.spans.map(({ fromMs }) => fromMs);
  return nextOf(starts, window.timezone, nowMs).find((instant) => isOpen(window, instant));
}

/** How long it takes until a window has been open for `openMs` in all: the closed times between count too. */
export function openFor(window: TransferWindow, fromMs: number, openMs: number): number {
  let leftMs = openMs;
  let at = fromMs;
  for (let opening = 0; opening < OPENINGS_AT_MOST; opening += 1) {
    at = opensAt(window, at) ?? at;
    const closes = closesAt(window, at);
    if (closes === undefined || closes - at >= leftMs) break;
    leftMs -= closes - at;
    at = closes;
  }
  return at + leftMs - fromMs;
}

/** What the clocks of the window's zone show at an instant: `22:00 Europe/Berlin`. */
export function clockText({ timezone }: TransferWindow, ms: number): string {
  return `${wallText(wallClockOf(ms, timezone)).slice('2026-11-30 '.length, -':00'.length)} ${timezone}`;
}

function isOpen({ spans, timezone }: TransferWindow, ms: number): boolean {
  const wallMs = wallClockOf(ms, timezone);
  const ofDayMs = ((wallMs % DAY_MS) + DAY_MS) % DAY_MS;
  return spans.some(({ fromMs, toMs }) =>
    fromMs < toMs ? ofDayMs >= fromMs && ofDayMs < toMs : ofDayMs >= fromMs || ofDayMs < toMs,
  );
}

/** Undefined for a window that never closes. */
function closesAt(window: TransferWindow, nowMs: number): number | undefined {
  const ends = window.spans.map(({ toMs }) => toMs);
  return nextOf(ends, window.timezone, nowMs).find((instant) => !isOpen(window, instant));
}

/** The instants after one at which clocks show one of these times, of this day and the next two. In order. */
function nextOf(timesMs: readonly number[], timezone: string, nowMs: number): readonly number[] {
  const today = Math.floor(wallClockOf(nowMs, timezone) / DAY_MS) * DAY_MS;
  return [0, 1, 2]
    .flatMap((day) => timesMs.flatMap((timeMs) => shownAt(today + day * DAY_MS + timeMs, timezone)))
    .filter((instant) => instant > nowMs)
    .sort((one, other) => one - other);
}

function shownAt(wallMs: number, timezone: string): readonly number[] {
  const found = AFTER_A_GAP_MS.map((laterMs) => instantsOf(wallMs + laterMs, timezone));
  return found.find((instants) => instants.length > 0) ?? [];
}
