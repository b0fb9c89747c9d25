/** A name in CQL: always quoted, so that its case and characters stay. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** `"keyspace"."table"` */
export function quoteTable(keyspace: string, table: string): string {
  return `${quoteName(keyspace)}.${quoteName(table)}`;
}

/** Text as a CQL string. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A map of options: `{'a': 'b', …}`. */
export function optionMap(options: Readonly<Record<string, string>>): string {
  const entries = Object.entries(options).map(([name, value]) => `${quoteText(name)}: ${quoteText(value)}`);
  return `{${entries.join(', ')}}`;
}
