import { quoteIdentifier } from '../server/identifiers.ts';

interface Named {
  readonly schema: string;
  readonly table: string;
}

/**
 * pg_dump asks the catalogue once for each pattern, by a regular expression. Many names in one take the server long: it matches every
 * name of the catalogue with all of them (measured: 75 ms a name with 400 in a pattern and 40,000 in the catalogue). Neighbours in the
 * order of names have their beginning in common, by which it finds the few that can match in an index.
 */
const NAMES_PER_PATTERN = 40;

/** How many of the 2 MB that Linux has by default for arguments they may take together. The environment needs room too. */
export const ARGUMENT_BYTES = 1_500_000;

/**
 * Patterns for `--table` and `--exclude-table` that match exactly these tables, several names in one. In quotes every character of a name is
 * literal; parentheses and `|` outside of them are those of a regular expression (processSQLNamePattern, src/fe_utils/string_utils.c).
 * Pure.
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

/** What arguments take of the room that a program has for them, bytes. Pure. */
export function argumentBytes(args: readonly string[]): number {
  return args.reduce((sum, arg) => sum + Buffer.byteLength(arg) + 1 + POINTER_BYTES, 0);
}

const POINTER_BYTES = 8;
