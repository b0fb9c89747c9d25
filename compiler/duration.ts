import { quoted, type Reading, refused } from './diagnostic.ts';

const MILLISECONDS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

/** For the JSON Schema: a whole number and a unit, or several of them. */
export const DURATION_PATTERN = '^([0-9]+(ms|s|m|h|d|w))+$';

const LONGEST_MS = 3650 * MILLISECONDS.d;

/** Units of other languages, each with the unit to write instead. */
const OTHER_SPELLINGS: readonly (readonly [RegExp, keyof typeof MILLISECONDS])[] = [
  [/^(msecs?|millis|milliseconds?)$/i, 'ms'],
  [/^(secs?|seconds?|S)$/i, 's'],
  [/^(mins?|minutes?)$/i, 'm'],
  [/^(hrs?|hours?|H)$/i, 'h'],
  [/^(days?|D)$/i, 'd'],
  [/^(weeks?|W)$/i, 'w'],
];

/** Reads `30s`, `5m`, `6h`, `3d` or `1h30m` as milliseconds. */
export function readDuration(text: string): Reading<number> {
  if (!new RegExp(DURATION_PATTERN).test(text)) {
    return refused('BAD_DURATION', `${quoted(text)} is not a duration`, durationRemedy(text));
  }
  const milliseconds = [...text.matchAll(/([0-9]+)(ms|[smhdw])/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * MILLISECONDS[unit as keyof typeof MILLISECONDS],
    0,
  );
  if (milliseconds === 0) {
    return refused('BAD_DURATION', `${quoted(text)} is no time at all`, 'Write a duration above zero.');
  }
  if (milliseconds > LONGEST_MS) {
    return refused('BAD_DURATION', `${quoted(text)} is longer than ten years`, 'Write at most `3650d`.');
  }
  return { value: milliseconds };
}

function durationRemedy(text: string): string {
  const [, count, unit = ''] = /^\s*([0-9]+)\s*([a-z]*)\s*$/i.exec(text) ?? [];
  if (count !== undefined) {
    const meant = OTHER_SPELLINGS.find(([pattern]) => pattern.test(unit))?.[1];
    if (meant !== undefined) return `Write \`${count}${meant}\`.`;
    if (unit === '') return `Say the unit: \`${count}s\`, \`${count}m\`, \`${count}h\` or \`${count}d\`.`;
  }
  return 'Write whole numbers with a unit (ms, s, m, h, d, w), such as `30s`, `5m`, `6h`, `3d` or `1h30m`.';
}

/** The shortest exact notation of a number of milliseconds: `90000` is `1m30s`. */
export function writeDuration(milliseconds: number): string {
  const units = ['d', 'h', 'm', 's', 'ms'] as const;
  let rest = milliseconds;
  let text = '';
  for (const unit of units) {
    const count = Math.floor(rest / MILLISECONDS[unit]);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * MILLISECONDS[unit];
  }
  return text === '' ? '0s' : text;
}
