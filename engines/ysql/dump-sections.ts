import { entryTable } from './restore/selection.ts';
import { isArchiveName } from './server/archive-names.ts';
import { BOOKKEEPING_SCHEMA } from './server/bookkeeping-schema.ts';
import type { Selection } from './server/catalog.ts';
import { describesDatabase } from './server/database-entries.ts';
import { type DumpEntry, outlineDump, withoutEntries } from './server/dump-script.ts';
import { tableName } from './server/identifiers.ts';

/** The schema of one database as plain SQL that psql can run. */
export interface SchemaScripts {
  /** CREATE DATABASE, its settings, comment and grants. */
  readonly database: string;
  readonly preData: string;
  readonly postData: string;
}

/**
 * Turns the two sections of a dump (`--section=pre-data --create`, `--section=post-data`) into the scripts that a backup keeps. They are plain
 * SQL without psql's own commands, and with the quotes that ysql_dump leaves out. They leave out the planner's statistics, which ANALYZE makes
 * anew, the entries of excluded tables, and an archive's publication. Pure. Throws `DUMP_UNREADABLE` (permanent), as `readDump` does.
 */
export function schemaScripts(
  preData: string,
  postData: string,
  { excluded }: Pick<Selection, 'excluded'>,
): SchemaScripts {
  const gone = new Set(excluded.map(tableName));
  const dump = outlineDump(preData);
  const never = neverRestored(dump.entries);
  return {
    database: withoutEntries(preData, (entry) => !describesDatabase(entry), dump),
    preData: withoutEntries(preData, (entry) => describesDatabase(entry) || never(entry), dump),
    postData: withoutEntries(postData, leftOut(gone)),
  };
}

/** PostgreSQL 18 and YugabyteDB 2.25.2 dump the planner's statistics; older servers lack the function that would load them. */
function isStatisticsData({ type }: DumpEntry): boolean {
  return type === 'STATISTICS DATA';
}

const PUBLICATIONS = new Set(['PUBLICATION', 'PUBLICATION TABLE']);

/**
 * The publication that Holdfast creates for a change archive is not part of the application's schema. The entry that adds a table to it is tagged `publication
 * table`.
 */
function isOfArchive({ type, name }: DumpEntry): boolean {
  const [publication = ''] = name.split(' ');
  return PUBLICATIONS.has(type) && isArchiveName(publication);
}

/**
 * Selects the entries that no restore creates. Backups made by an older release of Holdfast may hold them. Besides the planner's statistics and an
 * archive's publication these are the bookkeeping of a restore that was interrupted, with amcheck, which a comparison of indexes creates there.
 */
export function neverRestored(entries: readonly DumpEntry[]): (entry: DumpEntry) => boolean {
  const isThere = ({ tokens }: DumpEntry['statements'][number]) =>
    tokens.some(({ text }, at) => text === 'schema' && tokens[at + 1]?.text === BOOKKEEPING_SCHEMA);
  const extensions = entries
    .filter(({ type, statements }) => type === 'EXTENSION' && statements.some(isThere))
    .map(({ name }) => name);
  const names = new Set([
    BOOKKEEPING_SCHEMA,
    `SCHEMA ${BOOKKEEPING_SCHEMA}`,
    ...extensions,
    ...extensions.map((name) => `EXTENSION ${name}`),
  ]);
  return (entry) =>
    isStatisticsData(entry) ||
    isOfArchive(entry) ||
    entry.schema === BOOKKEEPING_SCHEMA ||
    (entry.schema === undefined && OF_NO_SCHEMA.has(entry.type) && names.has(entry.name));
}

const OF_NO_SCHEMA = new Set(['SCHEMA', 'EXTENSION', 'ACL', 'COMMENT', 'SECURITY LABEL']);

/**
 * Selects the entries to leave out. Among them are the extended statistics of excluded tables, with their comments, which the programs
 * of PostgreSQL 11 to 15 write nevertheless (fixed upstream in pg_dump 15.x).
 */
function leftOut(gone: ReadonlySet<string>): (entry: DumpEntry) => boolean {
  const statistics = new Set<string>();
  const never = neverRestored([]);
  return (entry) => {
    if (never(entry)) return true;
    const table = entry.type === 'STATISTICS' ? entryTable(entry) : undefined;
    if (table !== undefined && gone.has(table)) {
      statistics.add(`${entry.schema}.STATISTICS ${entry.name}`);
      return true;
    }
    return entry.type === 'COMMENT' && statistics.has(`${entry.schema}.${entry.name}`);
  };
}

/** Entry types that pg_dump writes after the rows (dbObjectTypePriority in pg_dump_sort.c, from the post-data boundary on). */
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
 * Cuts a schema at the place of its rows. Only an entry's position decides its side, not its type: a default or a view may need a
 * function that needs a key, so it stands after that key. pg_dump counts it to the section before the rows, where it can't be
 * created. Privileges, which pg_dump writes last, go with the object that they belong to. Pure.
 */
export function cutAtRows(script: string): { readonly preData: string; readonly postData: string } {
  const dump = outlineDump(script);
  const { entries } = dump;
  const found = entries.findIndex(({ type }) => BEHIND_ROWS.has(type));
  const boundary = found < 0 ? entries.length : found;
  const behind = entries.slice(boundary).filter(({ type }) => !PRIVILEGES.has(type));
  const names = new Set(behind.map(({ schema, name }) => `${schema} ${bareName(name)}`));
  const isBehind = (entry: DumpEntry, place: number) => {
    if (place < boundary) return false;
    // The privileges tagged `FUNCTION label_of(k integer)` belong to the entry `label_of(integer)`.
    const about = entry.name.replace(/^(?:FOREIGN |LARGE )?[A-Z]+ /, '');
    return !PRIVILEGES.has(entry.type) || names.has(`${entry.schema} ${bareName(about)}`);
  };
  const starts = new Set(entries.filter(isBehind).map(({ start }) => start));
  return {
    preData: withoutEntries(script, ({ start }) => starts.has(start), dump),
    postData: withoutEntries(script, ({ start }) => !starts.has(start), dump),
  };
}

/** Strips quotes and arguments: the tags of privileges contain argument names, those of functions don't. Functions with the same name count as one. */
function bareName(tag: string): string {
  return tag.replace(/\(.*$/s, '').replaceAll('"', '');
}
