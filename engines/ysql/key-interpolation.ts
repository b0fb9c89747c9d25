/**
 * Guesses places between known values of a key column. The positions of these places are exact, but the number of rows between them is a guess. A
 * bad guess makes chunks uneven, never wrong.
 */

/** Maps the text of values to numbers and back, so that places between two values can be computed. */
interface Scale {
  toNumber(text: string): bigint | undefined;
  toText(number: bigint): string;
}

/** How many characters of a text, after the common prefix, count as digits. */
const TEXT_DIGITS = 8;
const FRACTION = 1_000_000n;

const integers: Scale = {
  toNumber: (text) => (/^-?\d+$/.test(text) ? BigInt(text) : undefined),
  toText: (number) => number.toString(),
};

/** Numbers with six digits after the point. */
const decimals: Scale = {
  toNumber: (text) => {
    const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
    if (whole === undefined) return undefined;
    const size = BigInt(whole) * FRACTION + BigInt(fraction.slice(0, 6).padEnd(6, '0'));
    return sign === '-' ? -size : size;
  },
  toText: (number) => {
    const size = number < 0n ? -number : number;
    return `${number < 0n ? '-' : ''}${size / FRACTION}.${(size % FRACTION).toString().padStart(6, '0')}`;
  },
};

/** Sessions write times as ISO in UTC (`EXACT_TEXT_SETTINGS`). Milliseconds are precise enough. It doesn't read years of more than four digits. */
const times: Scale = {
  toNumber: (text) => {
    const [, day, time = '00:00:00', fraction = ''] =
      /^(\d{4}-\d\d-\d\d)(?: (\d\d:\d\d:\d\d)(?:\.(\d+))?(?:\+00)?)?$/.exec(text) ?? [];
    if (day === undefined) return undefined;
    const millis = Date.parse(`${day}T${time}.${fraction.slice(0, 3).padEnd(3, '0')}Z`);
    return Number.isNaN(millis) ? undefined : BigInt(millis);
  },
  toText: (number) => new Date(Number(number)).toISOString().replace('T', ' ').replace('Z', '+00'),
};

const uuids: Scale = {
  toNumber: (text) => (/^[0-9a-f-]{36}$/.test(text) ? BigInt(`0x${text.replaceAll('-', '')}`) : undefined),
  toText: (number) => {
    const digits = number.toString(16).padStart(32, '0');
    return [0, 8, 12, 16, 20, 32]
      .slice(1)
      .map((end, index) => digits.slice([0, 8, 12, 16, 20][index], end))
      .join('-');
  },
};

const BY_TYPE: Readonly<Record<string, Scale>> = {
  smallint: integers,
  integer: integers,
  bigint: integers,
  oid: integers,
  numeric: decimals,
  'double precision': decimals,
  real: decimals,
  date: { ...times, toText: (number) => times.toText(number).slice(0, 10) },
  'timestamp without time zone': { ...times, toText: (number) => times.toText(number).slice(0, -3) },
  'timestamp with time zone': times,
  uuid: uuids,
};

const TEXT_TYPES: ReadonlySet<string> = new Set(['text', 'character varying', 'bpchar', 'name']);

/**
 * Reads texts as numbers. Their digits are the characters that the `known` values use after their common prefix, so `user-000017` has ten digits and a hex
 * hash sixteen. It doesn't matter whether the column's collation orders these characters alike, because the server sorts the places.
 */
function textScale(known: readonly string[]): Scale | undefined {
  const [first = ''] = known;
  let shared = 0;
  while (shared < first.length && known.every((text) => text[shared] === first[shared])) shared += 1;
  const digits = [...new Set(known.flatMap((text) => [...text.slice(shared, shared + TEXT_DIGITS)]))]
    .filter((digit) => digit.length === 1 && digit >= ' ' && digit < '\u007f')
    .sort();
  if (digits.length < 2) return undefined;
  const base = BigInt(digits.length);
  return {
    toNumber: (text) => {
      if (!text.startsWith(first.slice(0, shared))) return undefined;
      let number = 0n;
      for (let at = 0; at < TEXT_DIGITS; at += 1) {
        const digit = digits.indexOf(text[shared + at] ?? '');
        number = number * base + BigInt(Math.max(0, digit));
      }
      return number;
    },
    toText: (number) => {
      let text = '';
      for (let rest = number, at = 0; at < TEXT_DIGITS; at += 1, rest /= base) {
        text = (digits[Number(rest % base)] ?? '') + text;
      }
      return first.slice(0, shared) + text;
    },
  };
}

/** Returns the scale for a column of this type, or undefined where none is known. `known` holds some of the column's values. */
function scaleOf(type: string, known: readonly string[]): Scale | undefined {
  return TEXT_TYPES.has(type) ? textScale(known) : BY_TYPE[type];
}

/**
 * Returns `pieces - 1` values of type `type`, spread evenly between `from` and `to` in that order (which may be descending). Returns fewer when fewer
 * values lie between the two, and none when the type isn't known. Pure.
 *
 * @param type as `format_type` writes it
 */
export function valuesBetween(
  type: string,
  { from, to, known }: { readonly from: string; readonly to: string; readonly known: readonly string[] },
  pieces: number,
): readonly string[] {
  const scale = scaleOf(type, [...known, from, to]);
  const start = scale?.toNumber(from);
  const end = scale?.toNumber(to);
  if (scale === undefined || start === undefined || end === undefined || start === end) return [];
  const values = Array.from({ length: Math.max(0, pieces - 1) }, (_, index) =>
    scale.toText(start + ((end - start) * BigInt(index + 1)) / BigInt(pieces)),
  );
  return [...new Set(values)].filter((value) => value !== from && value !== to);
}

/** The fraction (0 to 1) of the way from `from` to `to` that lies before `at`; undefined where it can't be computed. Pure. */
export function shareBefore(
  type: string,
  {
    from,
    at,
    to,
    known,
  }: { readonly from: string; readonly at: string; readonly to: string; readonly known: readonly string[] },
): number | undefined {
  const scale = scaleOf(type, [...known, from, at, to]);
  const [start, middle, end] = [from, at, to].map((text) => scale?.toNumber(text));
  if (start === undefined || middle === undefined || end === undefined || start === end) return undefined;
  const share = Number(middle - start) / Number(end - start);
  return share > 0 && share <= 1 ? share : undefined;
}
