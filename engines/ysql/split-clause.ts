import type { KeyPlace } from './key-ranges.ts';

/** Text of a value: a string constant (`'…'`, `E'…'`, `B'…'`), or a bare word such as a number. */
const VALUE = /\s*(?:(?<prefix>[EB]?)'(?<quoted>(?:[^']|'')*)'|(?<bare>[^\s,()']+))\s*(?<end>[,)])/y;

/**
 * Reads the places at which YugabyteDB split a range-sharded table into tablets from the answer of `yb_get_range_split_clause`: `SPLIT AT VALUES ((10,
 * 'a'), (20, MINVALUE))`. A place ends before its first MINVALUE or MAXVALUE, which is precise enough for cutting. Returns none where the server
 * reports none, or writes a clause that this code doesn't understand. Source: `rangeSplitClause` and `appendDatumToString` in YugabyteDB's
 * pg_yb_utils.c. Pure.
 */
export function splitPlaces(clause: string | null): readonly KeyPlace[] {
  const text = /^SPLIT AT VALUES \(([\s\S]*)\)$/.exec(clause ?? '')?.[1];
  if (text === undefined) return [];
  const places: KeyPlace[] = [];
  let at = 0;
  while (at < text.length) {
    const open = /[\s,]*\(/y;
    open.lastIndex = at;
    if (!open.test(text)) return [];
    const tuple = tupleAt(text, open.lastIndex);
    if (tuple === undefined) return [];
    const bound = tuple.values.indexOf(undefined);
    const place = tuple.values.slice(0, bound < 0 ? undefined : bound).flatMap((value) => value ?? []);
    if (place.length > 0) places.push(place);
    at = tuple.end;
  }
  return places;
}

/** Values up to the closing parenthesis; undefined in place of MINVALUE and MAXVALUE. */
function tupleAt(
  text: string,
  start: number,
): { readonly values: readonly (string | undefined)[]; readonly end: number } | undefined {
  const values: (string | undefined)[] = [];
  const value = new RegExp(VALUE);
  value.lastIndex = start;
  for (;;) {
    const { prefix = '', quoted, bare, end } = value.exec(text)?.groups ?? {};
    if (end === undefined) return undefined;
    if (quoted !== undefined) values.push(unescaped(prefix, quoted));
    else values.push(bare === 'MINVALUE' || bare === 'MAXVALUE' ? undefined : bare);
    if (end === ')') return { values, end: value.lastIndex };
  }
}

function unescaped(prefix: string, quoted: string): string {
  const text = quoted.replaceAll("''", "'");
  return prefix === 'E' ? text.replaceAll('\\\\', '\\') : text;
}
