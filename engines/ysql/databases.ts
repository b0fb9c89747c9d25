import { permanent, transient } from '../../model/errors.ts';
import type { NamePatterns, YsqlSource } from '../../model/pipeline.ts';
import type { Listing } from '../../planning/discovery.ts';
import type { VerbContext } from '../engine.ts';
import { nameMatcher } from '../name-patterns.ts';
import type { ConnectionTarget } from './server/connection-url.ts';
import { isNoSuchDatabase } from './server/errors.ts';
import { isRestoredBeside, isRestoreName } from './server/restore-names.ts';
import type { Session } from './server/session.ts';

/** The databases of a server that a source's patterns match. */
interface DatabaseSelection {
  /** In order of name. */
  readonly selected: readonly string[];
  /** Databases that match but are not backed up, each with the reason as a clause. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

interface DatabaseRow {
  readonly name: string;
  readonly takesConnections: boolean;
  readonly isTemplate: boolean;
  /** Somebody interrupted a DROP DATABASE. PostgreSQL from 15.4 marks it by this connection limit. */
  readonly invalid: boolean;
  readonly encoding: string;
}

const DATABASES = `
  SELECT datname AS name, datallowconn AS "takesConnections", datistemplate AS "isTemplate", datconnlimit = -2 AS invalid,
    pg_encoding_to_char(encoding) AS encoding
  FROM pg_catalog.pg_database WHERE datname NOT IN ('template0', 'template1', 'system_platform') ORDER BY datname`;

/** Applies the source's patterns. Throws `YSQL_NO_DATABASE`, `YSQL_CANNOT_CARRY` (permanent). */
export async function selectDatabases(
  session: Session,
  target: ConnectionTarget,
  source: YsqlSource,
): Promise<DatabaseSelection> {
  if (source.databases === undefined) return { selected: [target.database], skipped: [] };
  const { rows, named, wanted, skipped } = await matchingDatabases(session, source.databases);
  if (wanted.length === 0) {
    throw permanent(
      'YSQL_NO_DATABASE',
      `No database matches the plan's patterns; the server has ${rows.map((row) => describe(row, named)).join(', ')}`,
      'Correct source.ysql.databases in the plan.',
    );
  }
  const unreadable = wanted.filter(isUnreadable).map(({ name }) => name);
  if (unreadable.length > 0) {
    throw permanent(
      'YSQL_CANNOT_CARRY',
      `The server has no conversion to UTF8 for databases in MULE_INTERNAL: ${unreadable.join(', ')}`,
      'Exclude them in source.ysql.databases, or move them into a database in UTF8.',
    );
  }
  return { selected: wanted.map(({ name }) => name), skipped };
}

/** The databases that patterns match, for a plan that makes a plan of each. One that no backup could carry stops no other. */
export async function listDatabases(session: Session, patterns: NamePatterns): Promise<Listing> {
  const { named, wanted, skipped } = await matchingDatabases(session, patterns);
  const isCopy = ({ name }: DatabaseRow) => isRestoredBeside(name) && !named.has(name);
  const namesOf = (rows: readonly { readonly name: string }[]) => rows.map(({ name }) => name);
  return {
    found: namesOf(wanted.filter((row) => !isUnreadable(row) && !isCopy(row))),
    leftOut: namesOf([...skipped, ...wanted.filter(isCopy)]),
    refused: namesOf(wanted.filter((row) => isUnreadable(row) && !isCopy(row))).map((database) => ({
      database,
      reason: 'it is in MULE_INTERNAL, and the server has no conversion to UTF8',
    })),
  };
}

async function matchingDatabases(session: Session, patterns: NamePatterns) {
  const rows = await session.query<DatabaseRow>('list the databases', DATABASES);
  const matcher = nameMatcher(patterns);
  const named = new Set(patterns.include);
  const matching = rows
    .filter(({ name }) => matcher.matches(name))
    .map((row) => ({ ...row, reason: reasonToSkip(row, named) }));
  const skipped = matching.flatMap(({ name, reason }) => (reason === undefined ? [] : [{ name, reason }]));
  return { rows, named, wanted: matching.filter(({ reason }) => reason === undefined), skipped };
}

function isUnreadable({ encoding }: DatabaseRow): boolean {
  return encoding === 'MULE_INTERNAL';
}

/** Like `selectDatabases`, but returns only the selected names. */
export async function selectedDatabases(
  session: Session,
  target: ConnectionTarget,
  source: YsqlSource,
): Promise<readonly string[]> {
  return (await selectDatabases(session, target, source)).selected;
}

/**
 * Returns why a matching database is skipped, or undefined. Templates and databases of a restore are skipped unless the plan
 * names them in full; unreadable ones always are.
 */
function reasonToSkip(row: DatabaseRow, named: ReadonlySet<string>): string | undefined {
  if (row.invalid) return 'it is invalid: dropping it was interrupted, and only DROP DATABASE is left';
  if (!row.takesConnections) return 'it takes no connections (ALLOW_CONNECTIONS false)';
  if (named.has(row.name)) return undefined;
  if (isRestoreName(row.name)) return 'it is of a restore: name it in full to back it up';
  if (row.isTemplate) return 'it is a template: name it in full to back it up';
  return undefined;
}

function describe(row: DatabaseRow, named: ReadonlySet<string>): string {
  const reason = reasonToSkip(row, named);
  return reason === undefined ? row.name : `${row.name} (${reason})`;
}

/**
 * True when connecting failed because a database that a pattern selected was dropped meanwhile (a drill drops its copies). A database
 * that the plan names in full must exist.
 */
export function isGone(error: unknown, source: YsqlSource, database: string): boolean {
  if (source.databases === undefined || source.databases.include.includes(database)) return false;
  return isNoSuchDatabase(error);
}

/** Logs once, at the read point, which databases match the patterns but are not backed up. */
export function tellSkipped(verb: VerbContext, { skipped }: DatabaseSelection): void {
  if (skipped.length === 0) return;
  verb.log('databases that the patterns match are left out', {
    databases: skipped.map(({ name, reason }) => `${name}: ${reason}`).join('; '),
  });
}

/** Logs that a database which a pattern selected was dropped before it was read. */
export function tellGone(verb: VerbContext, database: string): void {
  verb.log('a database that a pattern matched was dropped before it was read', { database });
}

/** Throws `YSQL_NO_DATABASE` (transient) when no database is left: the backup would be empty and still count as a success. */
export function requireAny(databases: number): void {
  if (databases > 0) return;
  throw transient(
    'YSQL_NO_DATABASE',
    'Every database that the patterns match was dropped before it was read',
    'Correct source.ysql.databases in the plan if this repeats.',
  );
}
