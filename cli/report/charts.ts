import type { BackupFate } from '../../activities/prune.ts';
import { type CatalogueEntry, damageIn } from '../../model/recovery.ts';
import { DAY_MS, HOUR_MS } from '../../model/time.ts';
import { Markup, markup } from './markup.ts';

const WIDTH = 1_040;
const LEFT = 20;
const RIGHT = WIDTH - 20;

/** How a backup looks in every picture and table. */
export type Condition = 'good' | 'unverified' | 'damaged';

export function conditionOf(entry: CatalogueEntry): Condition {
  if (damageIn(entry) !== undefined) return 'damaged';
  return entry.lastGood === undefined ? 'unverified' : 'good';
}

interface Scale {
  readonly from: number;
  readonly to: number;
  x(ms: number): number;
}

function scaleOf(entries: readonly CatalogueEntry[], nowMs: number): Scale {
  const oldest = entries.reduce((least, { instant }) => Math.min(least, Date.parse(instant)), nowMs);
  // A single recent backup needs some width too.
  const from = Math.min(oldest, nowMs - HOUR_MS);
  const span = nowMs - from;
  return { from, to: nowMs, x: (ms) => LEFT + ((Math.min(ms, nowMs) - from) / span) * (RIGHT - LEFT) };
}

/** The recovery window from its oldest instant until now, with a mark for each instant and the drills below. */
export function timeline(
  entries: readonly CatalogueEntry[],
  fates: ReadonlyMap<string, BackupFate>,
  nowMs: number,
): Markup {
  const scale = scaleOf(entries, nowMs);
  const newest = Date.parse(entries[0]?.instant ?? '');
  const oldest = Date.parse(entries.at(-1)?.instant ?? '');
  const marks = entries.map((entry) => {
    const x = scale.x(Date.parse(entry.instant)).toFixed(1);
    const condition = conditionOf(entry);
    const fate = fates.get(entry.backup)?.fate ?? 'keep';
    const goes = fate === 'keep' || fate === 'unmark' ? '' : ' goes';
    const title = `${entry.instant} · ${entry.backup} · ${condition}${goes === '' ? '' : ` · retention: ${fate}`}`;
    const shape =
      condition === 'damaged'
        ? markup`<path d="M${x} 34 m-5 -5 l10 10 m0 -10 l-10 10"/>`
        : markup`<circle cx="${x}" cy="34" r="6"/>`;
    return markup`<g class="mark ${condition}${goes}"><title>${title}</title>${shape}</g>`;
  });
  const drills = entries.flatMap(({ drill, backup }) => {
    if (drill === undefined) return [];
    const x = scale.x(Date.parse(drill.at)).toFixed(1);
    return markup`<g class="drill ${drill.verdict}"><title>${`${drill.at} · drill of ${backup} · ${drill.verdict}`}</title><path d="M${x} 56 l6 10 h-12 z"/></g>`;
  });
  const window = markup`<rect class="window" x="${scale.x(oldest).toFixed(1)}" y="26" width="${Math.max(2, scale.x(newest) - scale.x(oldest)).toFixed(1)}" height="16" rx="8"/>
    <rect class="open" x="${scale.x(newest).toFixed(1)}" y="31" width="${Math.max(0, RIGHT - scale.x(newest)).toFixed(1)}" height="6"/>`;
  return markup`<svg viewBox="0 0 ${WIDTH} 100" role="img" aria-label="Recovery window: ${entries.length} instants">
    ${window}${marks}${drills}
    <g class="now"><line x1="${RIGHT}" x2="${RIGHT}" y1="18" y2="72"/><text x="${RIGHT}" y="12" text-anchor="end">now</text></g>
    ${axis(scale, 88)}</svg>`;
}

/** Bars over time. Each bar is as wide as its space allows. */
export function bars(
  entries: readonly CatalogueEntry[],
  nowMs: number,
  title: string,
  read: (entry: CatalogueEntry) => number | undefined,
  format: (value: number) => string,
): Markup {
  const known = entries.flatMap((entry) => {
    const value = read(entry);
    return value === undefined ? [] : [{ entry, value }];
  });
  const most = known.reduce((greatest, { value }) => Math.max(greatest, value), 0);
  if (most === 0) return markup``;
  const scale = scaleOf(entries, nowMs);
  const width = Math.max(2, Math.min(18, (RIGHT - LEFT) / known.length - 2));
  const columns = known.map(({ entry, value }) => {
    const height = Math.max(1, (value / most) * 84);
    const x = scale.x(Date.parse(entry.instant)) - width / 2;
    return markup`<rect class="bar ${conditionOf(entry)}" x="${x.toFixed(1)}" y="${(104 - height).toFixed(1)}" width="${width.toFixed(1)}" height="${height.toFixed(1)}" rx="2"><title>${`${entry.instant} · ${format(value)}`}</title></rect>`;
  });
  return markup`<figure><figcaption>${title} <span>most ${format(most)}</span></figcaption>
    <svg viewBox="0 0 ${WIDTH} 132" role="img" aria-label="${title}">
    <line class="grid" x1="${LEFT}" x2="${RIGHT}" y1="20" y2="20"/><line class="grid" x1="${LEFT}" x2="${RIGHT}" y1="104" y2="104"/>
    ${columns}${axis(scale, 122)}</svg></figure>`;
}

const STEPS_MS = [0.25, 1, 3, 6, 12, 24, 48, 168, 336, 720, 1_440, 2_160, 4_320, 8_760, 17_520].map(
  (hours) => hours * HOUR_MS,
);

function axis({ from, to, x }: Scale, y: number): Markup {
  const step = STEPS_MS.find((each) => (to - from) / each <= 8) ?? (to - from) / 6;
  const ticks: Markup[] = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    const label = step < DAY_MS ? clockOf(at) : new Date(at).toISOString().slice(0, 10);
    const place = x(at);
    const anchor = place < 60 ? 'start' : place > WIDTH - 60 ? 'end' : 'middle';
    ticks.push(
      markup`<text class="tick" x="${place.toFixed(1)}" y="${y}" text-anchor="${anchor}">${label}</text>`,
    );
  }
  return new Markup(ticks.map(({ text }) => text).join(''));
}

/** `11-24 06:00` */
function clockOf(ms: number): string {
  return new Date(ms).toISOString().slice(5, 16).replace('T', ' ');
}
