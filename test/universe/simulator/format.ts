/** Formats text as yb-admin prints it: a space and a tab separate columns (facts, section 2.0). */
export function row(...cells: readonly string[]): string {
  return `${cells.join(' \t')}\n`;
}

export const padded = (text: string, width: number): string => text.padEnd(width);

/** JSON as rapidjson's pretty writer prints it, indented by four spaces. */
export function prettyJson(value: unknown): string {
  return `${JSON.stringify(value, null, 4)}\n`;
}

/** `YYYY-MM-DD hh:mm:ss.ffffff` in the zone of the machine that runs yb-admin. */
export function localTime(micros: string, timezone: string): string {
  const value = BigInt(micros);
  const parts = new Intl.DateTimeFormat('en-CA', {
    timeZone: timezone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  }).formatToParts(new Date(Number(value / 1000n)));
  const part = (type: string): string => parts.find((other) => other.type === type)?.value ?? '';
  const fraction = String(value % 1_000_000n).padStart(6, '0');
  return `${part('year')}-${part('month')}-${part('day')} ${part('hour')}:${part('minute')}:${part('second')}.${fraction}`;
}

/** A time as old builds print it for schedules. */
export function utcTime(micros: string): string {
  return `${localTime(micros, 'UTC').replace(' ', 'T')}+0000`;
}

/** `partition_key_start: "" partition_key_end: "\177\377"` */
export function textRange(start: number, end: number): string {
  return `partition_key_start: "${octal(start)}" partition_key_end: "${octal(end)}"`;
}

function octal(hash: number): string {
  if (hash === 0 || hash >= 65_536) return '';
  return [hash >> 8, hash & 255]
    .map((byte) =>
      byte >= 32 && byte < 127 && byte !== 34 && byte !== 92
        ? String.fromCharCode(byte)
        : `\\${byte.toString(8).padStart(3, '0')}`,
    )
    .join('');
}

export function hexRange(hash: number): string {
  return hash === 0 || hash >= 65_536 ? '' : hash.toString(16).padStart(4, '0');
}
