import { type DumpEntry, dumpEntries, withoutEntries } from './dump-script.ts';

/** Types of entries that pg_dump writes behind the rows (dbObjectTypePriority in pg_dump_sort.c, from the post-data boundary on). */
const BEHIND_ROWS = new Set([
  'CHECK CONSTRAINT',
  'CONSTRAINT',
  'EVENT TRIGGER',
  'FK CONSTRAINT',
  'INDEX',
  'INDEX ATTACH',
  'MATERIALIZED VIEW DATA',
  'POLICY',
  'PUBLICATION',
  'PUBLICATION TABLE',
  'PUBLICATION TABLES IN SCHEMA',
  'ROW SECURITY',
  'RULE',
  'STATISTICS',
  'SUBSCRIPTION',
  'TRIGGER',
]);

const PRIVILEGES = new Set(['ACL', 'DEFAULT ACL']);

/**
 * Cuts a schema where its rows belong. Only the place says so, not the type: a default or a view that needs a function that needs a
 * key stands behind that key, while pg_dump counts it to the section before the rows, from which it can't be made. Privileges,
 * which pg_dump writes last of all, go with what they are about. Pure.
 */
export function cutAtRows(script: string): { readonly preData: string; readonly postData: string } {
  const entries = dumpEntries(script);
  const found = entries.findIndex(({ type }) => BEHIND_ROWS.has(type));
  const boundary = found < 0 ? entries.length : found;
  const behind = entries.slice(boundary).filter(({ type }) => !PRIVILEGES.has(type));
  const names = new Set(behind.map(({ schema, name }) => `${schema} ${bareName(name)}`));
  const isBehind = (entry: DumpEntry, place: number) => {
    if (place < boundary) return false;
    // `FUNCTION label_of(k integer)` is about `label_of(integer)`.
    const about = entry.name.replace(/^(?:FOREIGN |LARGE )?[A-Z]+ /, '');
    return !PRIVILEGES.has(entry.type) || names.has(`${entry.schema} ${bareName(about)}`);
  };
  const starts = new Set(entries.filter(isBehind).map(({ start }) => start));
  return {
    preData: withoutEntries(script, ({ start }) => starts.has(start)),
    postData: withoutEntries(script, ({ start }) => !starts.has(start)),
  };
}

/** Without arguments, which privileges name and functions don't, and without quotes. Functions of one name go together. */
function bareName(tag: string): string {
  return tag.replace(/\(.*$/s, '').replaceAll('"', '');
}
