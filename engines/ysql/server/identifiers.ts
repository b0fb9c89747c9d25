/** A quoted SQL identifier; always quoted, so that reserved words and odd names need no rule of their own. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A SQL string literal, safe whatever `standard_conforming_strings` says. */
export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

/** `"schema"."table"` for SQL. */
export function quoteTable(table: { readonly schema: string; readonly table: string }): string {
  return `${quoteIdentifier(table.schema)}.${quoteIdentifier(table.table)}`;
}

/** `schema.table` for people and for name patterns. */
export function tableName(table: { readonly schema: string; readonly table: string }): string {
  return `${table.schema}.${table.table}`;
}
