import type { Token } from './sql.ts';

/** Matches an index column that states its order. */
export const COLUMN_ORDERS = / (?:ASC|DESC|HASH)(?: NULLS (?:FIRST|LAST))?$/;

/** Returns the columns between a parenthesis and its counterpart, as written, and the text after it. `open` is the index of the opening parenthesis. */
export function indexColumns(
  sql: string,
  tokens: readonly Token[],
  open: number,
): { readonly columns: readonly string[]; readonly rest: string } {
  const columns: string[] = [];
  let depth = 0;
  let start = tokens[open]?.end ?? 0;
  for (const token of tokens.slice(open)) {
    if (token.text === '(') depth += 1;
    if (token.text === ')') depth -= 1;
    if (depth === 0 || (depth === 1 && token.text === ',')) {
      columns.push(sql.slice(start, token.start).trim());
      start = token.end;
    }
    if (depth === 0) break;
  }
  return { columns, rest: sql.slice(start) };
}
