import { quoteIdentifier } from '../server/identifiers.ts';

interface Named {
  readonly schema: string;
  readonly table: string;
}

/**
 * pg_dump queries the catalogue once per pattern, with a regular expression. A pattern with many names is slow, because the server
 * matches every name in the catalogue against all of them (measured: 75 ms a name with 400 in a pattern and 40,000 in the catalogue).
 * Names that are neighbours in sort order share a prefix, and with a prefix the server finds the few candidates in an index.
 */
const NAMES_PER_PATTERN = 40;

/** How many bytes of Linux's default 2 MB for arguments these may take together. The environment needs room too. */
export const ARGUMENT_BYTES = 1_500_000;

/**
 * Returns patterns for `--table` and `--exclude-table` that match exactly these tables, several names per pattern. In quotes every character
 * of a name is literal; parentheses and `|` outside of quotes have their regular expression meaning (processSQLNamePattern,
 * src/fe_utils/string_utils.c). Pure.
 */
export function tablePatterns(tables: readonly Named[]): readonly string[] {
  const patterns: string[] = [];
  for (const [schema, some] of Map.groupBy(tables, (table) => table.schema)) {
    const names = some.map(({ table }) => table).sort();
    for (let at = 0; at < names.length; at += NAMES_PER_PATTERN) {
      patterns.push(`${quoteIdentifier(schema)}.${alternatives(names.slice(at, at + NAMES_PER_PATTERN))}`);
    }
  }
  return patterns;
}

function alternatives(names: readonly string[]): string {
  const [first = ''] = names;
  const characters = [...first];
  let common = characters.length;
  for (const name of names) {
    const other = [...name];
    const differs = characters.findIndex((character, at) => character !== other[at]);
    if (differs >= 0) common = Math.min(common, differs);
  }
  const prefix = characters.slice(0, common).join('');
  const endings = names.map((name) => quoteIdentifier(name.slice(prefix.length)));
  return `${prefix === '' ? '' : quoteIdentifier(prefix)}(${endings.join('|')})`;
}

/** How much of a program's room for arguments these take, bytes. Pure. */
export function argumentBytes(args: readonly string[]): number {
  return args.reduce((sum, arg) => sum + Buffer.byteLength(arg) + 1 + POINTER_BYTES, 0);
}

const POINTER_BYTES = 8;
