import { HoldfastError } from '../../../model/errors.ts';
import { sqlState } from './errors.ts';
import { quoteIdentifier } from './identifiers.ts';
import type { Server } from './server.ts';
import { onlyRow, type Session } from './session.ts';

/*
 * How to read at an instant on YugabyteDB. Only a superuser may set both settings (PGC_SUSET, issue 19608; docs "Permissions" of logical replication).
 * Holdfast doesn't use the documented workaround, SECURITY DEFINER procedures that set them: ysql_dump sets them itself and can't be made to call a
 * procedure, so schema and rows would be read in two ways. An exported snapshot works for both.
 */

/** The statement that makes a session read at an instant, microseconds since 1970. It must come before any query. */
export function readTimeStatement(micros: string): string {
  return `SET yb_read_time = ${BigInt(micros)}`;
}

/** Runs `readTimeStatement` in a session that is open but has run no query yet. */
export async function readAsOf(session: Session, micros: string): Promise<void> {
  await session.query('set the read time', readTimeStatement(micros));
  await ignoreDdl(session);
}

/**
 * Keeps DDL in the database from ending a session that reads the past; ysql_dump does the same. Returns false when the role may not set
 * this or the server has no such setting: then a REVOKE or ALTER ends the session, and the read is repeated.
 */
export async function ignoreDdl(session: Session): Promise<boolean> {
  try {
    await session.query('stand DDL while reading', 'SET yb_disable_catalog_version_check = true');
    return true;
  } catch (error) {
    if (causeState(error) === NOT_ALLOWED || causeState(error) === UNKNOWN_SETTING) return false;
    throw error;
  }
}

const UNKNOWN_SETTING = '42704';
const NOT_ALLOWED = '42501';

function causeState(error: unknown): string | undefined {
  return error instanceof HoldfastError ? sqlState(error.cause) : undefined;
}

/** Returns why a session could not read at an instant; undefined when it failed for another reason. */
export function refusalOf(error: unknown): 'unknown' | 'denied' | undefined {
  if (causeState(error) === UNKNOWN_SETTING) return 'unknown';
  const isSetting = error instanceof HoldfastError && /set parameter "?yb_read_time/.test(error.message);
  return causeState(error) === NOT_ALLOWED && isSetting ? 'denied' : undefined;
}

/** The refusal as a clause, for the manifest and its readers. */
export function describeRefusal(refusal: 'unknown' | 'denied', role: string): string {
  return refusal === 'unknown'
    ? 'the server has no yb_read_time'
    : `role ${quoteIdentifier(role)} may not set yb_read_time`;
}

/** The remedy that lets `role` read at an instant. PostgreSQL 15 can grant a single setting, PostgreSQL 11 can't. */
export function grantRemedy(role: string, server: Server): string {
  return server.major >= 15
    ? `As a superuser run GRANT SET ON PARAMETER yb_read_time, yb_disable_catalog_version_check TO ${quoteIdentifier(role)}.`
    : 'Back up as a superuser: YugabyteDB of the PostgreSQL 11 line grants no single setting.';
}

/** Returns the name of the session's role. */
export async function currentRole(session: Session): Promise<string> {
  const rows = await session.query<{ role: string }>('ask for the role', 'SELECT current_user AS role');
  return onlyRow(rows, 'the role').role;
}
