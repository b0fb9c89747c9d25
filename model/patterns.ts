import type { NamePatterns } from './pipeline.ts';

/**
 * Glob patterns of a plan. `*` stands for any run of characters and `?` for one; every other character for itself, letter
 * case included. A pattern over tables is `schema.table`: the part before its first dot is matched with the schema,
 * the rest with the table, so that `public.*` has every table of `public` whatever its name.
 */

/** Whether a database is selected: included (an empty list includes all) and not excluded. */
export function selectsDatabase(patterns: NamePatterns, database: string): boolean {
  return selects(patterns, (pattern) => globMatches(pattern, database));
}

/** Whether a table is selected: included (an empty list includes all) and not excluded. */
export function selectsTable(patterns: NamePatterns, schema: string, table: string): boolean {
  return selects(patterns, (pattern) => {
    const { schema: schemaGlob, table: tableGlob } = splitTablePattern(pattern);
    return globMatches(schemaGlob, schema) && globMatches(tableGlob, table);
  });
}

/** The two globs of a table pattern; one without a dot has an empty schema, which no schema matches. */
export function splitTablePattern(pattern: string): { readonly schema: string; readonly table: string } {
  const dot = pattern.indexOf('.');
  return dot === -1
    ? { schema: '', table: pattern }
    : { schema: pattern.slice(0, dot), table: pattern.slice(dot + 1) };
}

function selects(patterns: NamePatterns, matches: (pattern: string) => boolean): boolean {
  const included = patterns.include.length === 0 || patterns.include.some(matches);
  return included && !patterns.exclude.some(matches);
}

/** Whether a glob matches a whole name; linear in the product of both lengths, without backtracking into old stars. */
export function globMatches(glob: string, name: string): boolean {
  let globAt = 0;
  let nameAt = 0;
  let star = -1;
  let starName = 0;
  while (nameAt < name.length) {
    const wanted = glob[globAt];
    if (wanted === '*') {
      star = globAt;
      starName = nameAt;
      globAt += 1;
    } else if (wanted !== undefined && (wanted === '?' || wanted === name[nameAt])) {
      globAt += 1;
      nameAt += 1;
    } else if (star !== -1) {
      globAt = star + 1;
      starName += 1;
      nameAt = starName;
    } else return false;
  }
  while (glob[globAt] === '*') globAt += 1;
  return globAt === glob.length;
}
