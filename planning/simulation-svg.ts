import { formatAmount, formatBytes } from '../model/amounts.ts';
import type { SimulatedDay } from './simulate.ts';

const WIDTH = 960;
const LEFT = 84;
const RIGHT = 24;
const PLOT = WIDTH - LEFT - RIGHT;
const COUNT_TOP = 64;
const COUNT_HEIGHT = 170;
const AGE_TOP = COUNT_TOP + COUNT_HEIGHT + 66;
const AGE_HEIGHT = 250;
const HEIGHT = AGE_TOP + AGE_HEIGHT + 48;
/** Most columns of ages, and rows in each. */
const COLUMNS = 104;
const ROWS = 56;
const AGE_LINES = [
  [1, '1 day'],
  [7, '1 week'],
  [30.4, '1 month'],
  [91.3, '3 months'],
  [365.25, '1 year'],
  [3 * 365.25, '3 years'],
  [10 * 365.25, '10 years'],
] as const;

/**
 * A picture of the simulation: above, the number of backups and their size; below, the age of each, so that a column shows what
 * could be restored on that day. It needs no font, script or style from elsewhere.
 */
export function simulationSvg(plan: string, days: readonly SimulatedDay[]): string {
  const first = days[0];
  const last = days.at(-1);
  if (first === undefined || last === undefined) return '';
  const x = (day: number) => round(LEFT + (PLOT * day) / Math.max(1, days.length - 1));
  const size = last.storedBytes === undefined ? '' : `, ${formatBytes(last.storedBytes)}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="12" fill="#334155">`,
    `<title>Retention of ${escaped(plan)}, ${days.length} days ahead</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="26" font-size="17" font-weight="600" fill="#0f172a">Retention of ${escaped(plan)}, ${days.length} days ahead</text>`,
    `<text x="${LEFT}" y="46">at the end: ${formatAmount(last.backups, 'backup')}${size}</text>`,
    ...countPanel(days, x),
    ...agePanel(days),
    ...months(days, x),
    '</svg>',
    '',
  ].join('\n');
}

function countPanel(days: readonly SimulatedDay[], x: (day: number) => number): readonly string[] {
  const most = Math.max(1, ...days.map(({ backups }) => backups));
  const base = COUNT_TOP + COUNT_HEIGHT;
  const y = (count: number) => round(base - (COUNT_HEIGHT * count) / most);
  const line = days.map(({ backups }, day) => `${x(day)},${y(backups)}`).join(' ');
  const marked = days.map((day, index) => `${x(index)},${y(day.marked)}`).join(' ');
  const bytes = Math.max(0, ...days.map(({ storedBytes }) => storedBytes ?? 0));
  return [
    `<polygon points="${LEFT},${base} ${line} ${LEFT + PLOT},${base}" fill="#bfdbfe"/>`,
    `<polyline points="${line}" fill="none" stroke="#2563eb" stroke-width="1.5"/>`,
    `<polygon points="${LEFT},${base} ${marked} ${LEFT + PLOT},${base}" fill="#fca5a5"/>`,
    ...[0, Math.round(most / 2), most].map((count) => axisLabel(y(count), String(count))),
    `<text x="${LEFT}" y="${base + 34}">backups there (blue), of these marked for deletion (red)${bytes === 0 ? '' : `; at most ${formatBytes(bytes)}`}</text>`,
  ];
}

function agePanel(days: readonly SimulatedDay[]): readonly string[] {
  const oldest = Math.max(2, ...days.map(({ agesDays }) => agesDays.at(-1) ?? 0));
  const rowOf = (age: number) => {
    const share = Math.log1p(Math.max(0, age)) / Math.log1p(oldest);
    return Math.min(ROWS - 1, Math.floor(share * ROWS));
  };
  const columns = Math.min(COLUMNS, days.length);
  const width = round(PLOT / columns);
  const height = round(AGE_HEIGHT / ROWS);
  const cells: string[] = [];
  for (let column = 0; column < columns; column++) {
    const day = days[Math.floor(((column + 1) * days.length) / columns) - 1];
    const counts = new Map<number, number>();
    for (const age of day?.agesDays ?? []) counts.set(rowOf(age), (counts.get(rowOf(age)) ?? 0) + 1);
    for (const [row, count] of counts) {
      const opacity = round(Math.min(1, 0.45 + 0.15 * count));
      cells.push(
        `<rect x="${round(LEFT + column * width)}" y="${round(AGE_TOP + row * height)}" width="${round(width * 0.82)}" height="${round(height * 0.82)}" fill="#0f766e" opacity="${opacity}"/>`,
      );
    }
  }
  const lines = AGE_LINES.filter(([age]) => age <= oldest).map(([age, name]) =>
    axisLabel(round(AGE_TOP + (AGE_HEIGHT * Math.log1p(age)) / Math.log1p(oldest)), name),
  );
  return [
    ...lines,
    ...cells,
    `<text x="${LEFT}" y="${AGE_TOP - 10}">age of each backup that is there (a column is what could be restored on that day)</text>`,
  ];
}

/** A mark at the foot for the first of every month. */
function months(days: readonly SimulatedDay[], x: (day: number) => number): readonly string[] {
  const starts = days.flatMap(({ at }, day) => (at.slice(8, 10) === '01' ? [{ day, at }] : []));
  const every = Math.ceil(starts.length / 14);
  return starts
    .filter((_, index) => index % every === 0)
    .map(
      ({ day, at }) =>
        `<line x1="${x(day)}" x2="${x(day)}" y1="${COUNT_TOP}" y2="${AGE_TOP + AGE_HEIGHT}" stroke="#e2e8f0"/>` +
        `<text x="${x(day)}" y="${AGE_TOP + AGE_HEIGHT + 20}" text-anchor="middle">${at.slice(0, 7)}</text>`,
    );
}

function axisLabel(y: number, text: string): string {
  return (
    `<line x1="${LEFT}" x2="${LEFT + PLOT}" y1="${y}" y2="${y}" stroke="#cbd5e1" stroke-dasharray="2 4"/>` +
    `<text x="${LEFT - 8}" y="${y + 4}" text-anchor="end">${text}</text>`
  );
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
