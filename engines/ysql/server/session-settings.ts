import { permanent } from '../../../model/errors.ts';
import { quoteLiteral } from './identifiers.ts';

/** A session setting that affects what is read, how it is written as text, or whether the work succeeds at all. */
interface Pinned {
  readonly name: string;
  readonly value: string;
  /** First PostgreSQL version that has it; absent: 11 has it. */
  readonly since?: number;
  /** Present when only a superuser may set it. `harmless`: for other roles its value doesn't matter. */
  readonly superuser?: 'harmless' | 'matters';
}

/**
 * Backups and restores use these settings, whatever the defaults of the server, database or role are. They go beyond pg_dump's: the text
 * of money depends on `lc_monetary`, arrays read the word NULL according to `array_nulls`, and the two settings for damaged pages make
 * rows disappear without an error.
 */
const PINNED: readonly Pinned[] = [
  // The timeouts come first, so that a short one can't end a later statement.
  { name: 'statement_timeout', value: '0' },
  { name: 'lock_timeout', value: '30s' },
  { name: 'idle_in_transaction_session_timeout', value: '0' },
  { name: 'idle_session_timeout', value: '0', since: 14 },
  { name: 'transaction_timeout', value: '0', since: 17 },
  { name: 'DateStyle', value: 'ISO, MDY' },
  { name: 'IntervalStyle', value: 'postgres' },
  { name: 'TimeZone', value: 'UTC' },
  { name: 'extra_float_digits', value: '3' },
  { name: 'bytea_output', value: 'hex' },
  { name: 'lc_monetary', value: 'C' },
  { name: 'xmloption', value: 'content' },
  { name: 'standard_conforming_strings', value: 'on' },
  { name: 'array_nulls', value: 'on' },
  { name: 'transform_null_equals', value: 'off' },
  { name: 'quote_all_identifiers', value: 'off' },
  { name: 'gin_fuzzy_search_limit', value: '0' },
  { name: 'row_security', value: 'off' },
  { name: 'search_path', value: '' },
  { name: 'synchronize_seqscans', value: 'off' },
  { name: 'check_function_bodies', value: 'off' },
  { name: 'default_transaction_read_only', value: 'off' },
  { name: 'default_transaction_deferrable', value: 'off' },
  { name: 'default_transaction_isolation', value: 'read committed' },
  { name: 'session_replication_role', value: 'origin', superuser: 'harmless' },
  { name: 'zero_damaged_pages', value: 'off', superuser: 'matters' },
  { name: 'ignore_checksum_failure', value: 'off', superuser: 'matters' },
];

/** What a server reports about itself while a connection is made. */
export interface ReportedByServer {
  /** PostgreSQL's major version; undefined where it isn't reported (a pooler may not). */
  readonly major: number | undefined;
  readonly superuser: boolean;
}

/**
 * The statements that pin all settings of a session. They are sent right after connecting and contain no query, because
 * YugabyteDB needs the read time before any query.
 */
export function sessionSettings({ major = 0, superuser }: ReportedByServer): string {
  return PINNED.filter(
    (pinned) => (pinned.since ?? 0) <= major && (superuser || pinned.superuser === undefined),
  )
    .map(({ name, value }) => `SET ${name} = ${quoteLiteral(value)}`)
    .join('; ');
}

/** The dump programs set the search path themselves. */
const OF_PROGRAMS_OWN = 'search_path';

/** Settings that could end a session before its first statement has set them. */
const TIMEOUTS = /_timeout$/;

/**
 * All settings, or only the timeouts, as startup options of a session (`-c name=value`). These override the defaults of a server, a
 * database or a role. The dump programs need them, because their sessions read the catalogue and set few of these settings themselves.
 */
export function startupOptions(
  { major = 0, superuser }: ReportedByServer,
  which: 'all' | 'timeouts',
): readonly string[] {
  return PINNED.filter(
    ({ name, since = 0, superuser: restricted }) =>
      name !== OF_PROGRAMS_OWN &&
      since <= major &&
      (superuser || restricted === undefined) &&
      (which === 'all' || TIMEOUTS.test(name)),
  ).map(({ name, value }) => `-c ${name}=${value.replaceAll(/[\\ ]/g, '\\$&')}`);
}

/** One row of `PIN_IN_TRANSACTION`. */
export interface PinnedSetting {
  readonly name: string;
  readonly wanted: string;
  readonly now: string;
  /** The server's process that runs this transaction. */
  readonly pid: number;
  readonly readTime: string | null;
}

/**
 * Sets all settings for the current transaction and reads them back in one statement: behind a pooler the transaction may run in
 * another server session than the one that got the settings. Skips settings that the server doesn't have.
 */
export const PIN_IN_TRANSACTION = `
  SELECT w.name, w.wanted, pg_catalog.pg_backend_pid() AS pid, pg_catalog.current_setting('yb_read_time', true) AS "readTime",
    CASE WHEN w.superuser AND pg_catalog.current_setting('is_superuser') <> 'on' THEN pg_catalog.current_setting(w.name)
      ELSE pg_catalog.set_config(w.name, w.wanted, true) END AS now
  FROM (VALUES ${PINNED.map(({ name, value, superuser }) => `(${quoteLiteral(name)}, ${quoteLiteral(value)}, ${superuser !== undefined})`).join(', ')})
    AS w(name, wanted, superuser)
  WHERE pg_catalog.current_setting(w.name, true) IS NOT NULL`;

const HARMLESS = new Set(PINNED.filter(({ superuser }) => superuser === 'harmless').map(({ name }) => name));

/** Throws `YSQL_SETTING` (permanent), which names the settings of `database` that don't have the required value. */
export function requirePinned(settings: readonly PinnedSetting[], database: string): void {
  const wrong = settings.filter(({ name, wanted, now }) => now !== wanted && !HARMLESS.has(name));
  if (wrong.length === 0) return;
  throw permanent(
    'YSQL_SETTING',
    `In database "${database}" these settings can't be pinned, and rows could be missing or come with other text: ${wrong
      .map(({ name, wanted, now }) => `${name} is ${now || 'empty'}, not ${wanted || 'empty'}`)
      .join('; ')}`,
    'Reset them for the database and the role (ALTER DATABASE … RESET, ALTER ROLE … RESET), or connect as a superuser.',
  );
}
