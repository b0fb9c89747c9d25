import { quoted, type Reading, refused } from './diagnostic.ts';

const BYTES = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
  kB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  TB: 1000 ** 4,
} as const;

/** For the JSON Schema: a whole number and a unit. */
export const SIZE_PATTERN = '^[0-9]+(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)$';

/** Reads `64MiB` as bytes. The bounds `least` and `most` are written in the same way. */
export function readSize(text: string, least: string, most: string): Reading<number> {
  const value = bytesOf(text);
  if (value === undefined) return refused('BAD_SIZE', `${quoted(text)} is not a size`, sizeRemedy(text));
  if (value < (bytesOf(least) ?? 0) || value > (bytesOf(most) ?? Number.MAX_SAFE_INTEGER)) {
    return refused(
      'BAD_SIZE',
      `${quoted(text)} is outside of ${least} to ${most}`,
      `Write a size from \`${least}\` to \`${most}\`.`,
    );
  }
  return { value };
}

function bytesOf(text: string): number | undefined {
  const [, count, unit] = /^([0-9]{1,15})([A-Za-z]+)$/.exec(text) ?? [];
  if (count === undefined || unit === undefined || !Object.hasOwn(BYTES, unit)) return undefined;
  return Number(count) * BYTES[unit as keyof typeof BYTES];
}

function sizeRemedy(text: string): string {
  const [, count, letter = ''] = /^\s*([0-9]+)\s*([kmgt]?)(?:i?b)?\s*$/i.exec(text) ?? [];
  if (count === undefined) return 'Write a whole number with a unit, such as `64MiB`.';
  const unit = letter === '' ? 'MiB' : `${letter.toUpperCase()}iB`;
  return `Write \`${count}${unit}\`; units are B, KiB, MiB, GiB, TiB (powers of 1024) and kB, MB, GB, TB (of 1000).`;
}

/** Bytes in the largest binary unit that divides them: `67108864` is `64MiB`. */
export function formatSize(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB'] as const) {
    if (bytes >= BYTES[unit] && bytes % BYTES[unit] === 0) return `${bytes / BYTES[unit]}${unit}`;
  }
  return `${bytes}B`;
}
