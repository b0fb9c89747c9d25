import { quoteIdentifier } from '../identifiers.ts';

interface Named {
  readonly schema: string;
  readonly table: string;
}

/** pg_dump asks the catalogue once for each pattern, by a regular expression; a longer one costs more to compile than it saves. */
const NAMES_PER_PATTERN = 400;

/** An argument of a program can't be longer than 128 kB on Linux (`MAX_ARG_STRLEN`); all arguments together have 2 MB by default. */
const PATTERN_BYTES = 100_000;

/** So much all arguments may take: the environment needs room too. */
export const ARGUMENT_BYTES = 1_500_000;

/**
 * Patterns for `--table` and `--exclude-table` that match exactly these tables, many names in one. In quotes every character of a name is
 * literal; parentheses and `|` outside of them are those of a regular expression (processSQLNamePattern, src/fe_utils/string_utils.c).
 * Pure.
 */
export function tablePatterns(tables: readonly Named[]): readonly string[] {
  const patterns: string[] = [];
  for (const [schema, some] of Map.groupBy(tables, (table) => table.schema)) {
    let names: string[] = [];
    let bytes = 0;
    const end = () => {
      if (names.length > 0) patterns.push(`${quoteIdentifier(schema)}.(${names.join('|')})`);
      names = [];
      bytes = 0;
    };
    for (const { table } of some) {
      const name = quoteIdentifier(table);
      if (names.length >= NAMES_PER_PATTERN || bytes + name.length * 3 > PATTERN_BYTES) end();
      names.push(name);
      bytes += Buffer.byteLength(name) + 1;
    }
    end();
  }
  return patterns;
}

/** What arguments take of the room that a program has for them, bytes. Pure. */
export function argumentBytes(args: readonly string[]): number {
  return args.reduce((sum, arg) => sum + Buffer.byteLength(arg) + 1 + POINTER_BYTES, 0);
}

const POINTER_BYTES = 8;
