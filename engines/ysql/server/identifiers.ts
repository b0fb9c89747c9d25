/** Quotes a SQL identifier. It always quotes, so that reserved words and unusual names need no special rule. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Quotes a SQL string literal, safe for any value of `standard_conforming_strings`. */
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
