import { entryTable } from './restore/selection.ts';
import { isArchiveName } from './server/archive-names.ts';
import type { Selection } from './server/catalog.ts';
import { describesDatabase } from './server/database-entries.ts';
import { type DumpEntry, readDump, withoutEntries } from './server/dump-script.ts';
import { tableName } from './server/identifiers.ts';

/** The schema of one database as plain SQL that psql runs. */
export interface SchemaScripts {
  /** CREATE DATABASE, its settings, comment and grants. */
  readonly database: string;
  readonly preData: string;
  readonly postData: string;
}

/**
 * The two sections of a dump (`--section=pre-data --create`, `--section=post-data`) as a backup keeps them: plain SQL, without what
 * only a shell understands, with the quotes that ysql_dump left out, without statistics of the planner, which ANALYZE makes anew, and
 * without what belongs to excluded tables, and without an archive's publication. Pure. Throws `DUMP_UNREADABLE` (permanent), as `readDump` does.
 */
export function schemaScripts(
  preData: string,
  postData: string,
  { excluded }: Pick<Selection, 'excluded'>,
): SchemaScripts {
  const gone = new Set(excluded.map(tableName));
  const dump = readDump(preData);
  return {
    database: withoutEntries(preData, (entry) => !describesDatabase(entry), dump),
    preData: withoutEntries(preData, (entry) => describesDatabase(entry) || isStatisticsData(entry), dump),
    postData: withoutEntries(postData, leftOut(gone)),
  };
}

/** PostgreSQL 18 and YugabyteDB 2.25.2 dump what the planner knows of tables; older servers have no function to take it. */
function isStatisticsData({ type }: DumpEntry): boolean {
  return type === 'STATISTICS DATA';
}

const PUBLICATIONS = new Set(['PUBLICATION', 'PUBLICATION TABLE']);

/** The publication that Holdfast makes for an archive of changes is no part of the application's schema. The entry of a table in it is called `publication table`. */
function isOfArchive({ type, name }: DumpEntry): boolean {
  const [publication = ''] = name.split(' ');
  return PUBLICATIONS.has(type) && isArchiveName(publication);
}

/** What no restore brings back, though a backup of an older release may hold it. */
export function isNeverRestored(entry: DumpEntry): boolean {
  return isStatisticsData(entry) || isOfArchive(entry);
}

/**
 * Programs of PostgreSQL 11 to 15 write the extended statistics of tables that are excluded (upstream mended it in pg_dump 15.x): they
 * are left out here, with their comments.
 */
function leftOut(gone: ReadonlySet<string>): (entry: DumpEntry) => boolean {
  const statistics = new Set<string>();
  return (entry) => {
    if (isNeverRestored(entry)) return true;
    const table = entry.type === 'STATISTICS' ? entryTable(entry) : undefined;
    if (table !== undefined && gone.has(table)) {
      statistics.add(`${entry.schema}.STATISTICS ${entry.name}`);
      return true;
    }
    return entry.type === 'COMMENT' && statistics.has(`${entry.schema}.${entry.name}`);
  };
}

/** Types of entries that pg_dump writes behind the rows (dbObjectTypePriority in pg_dump_sort.c, from the post-data boundary on). */
export const BEHIND_ROWS: ReadonlySet<string> = new Set([
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
  const dump = readDump(script);
  const { entries } = dump;
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
    preData: withoutEntries(script, ({ start }) => starts.has(start), dump),
    postData: withoutEntries(script, ({ start }) => !starts.has(start), dump),
  };
}

/** Without arguments, which privileges name and functions don't, and without quotes. Functions of one name go together. */
function bareName(tag: string): string {
  return tag.replace(/\(.*$/s, '').replaceAll('"', '');
}
