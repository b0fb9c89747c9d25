import { HoldfastError } from '../../../model/errors.ts';
import { type ConnectionTarget, serverKey } from './connection-url.ts';
import { sqlState } from './errors.ts';
import { type ReportedByServer, startupOptions } from './session-settings.ts';

/*
 * Defaults of a server, a database or a role apply to every session until it sets something else. The dump programs read the catalogue before they
 * set anything, and those defaults change the text of the schema they write. A short default timeout can end one of our sessions before its first
 * statement. Startup options override all defaults, but a pooler may refuse them. So programs get all settings as startup options. Our sessions get
 * only the timeouts, and only where one was too short. Once a server has refused the options, nobody gets them.
 */

interface Known {
  reported: ReportedByServer;
  timeouts: 'as they are' | 'too short';
  refused: boolean;
}

const servers = new Map<string, Known>();

function knownOf(target: ConnectionTarget): Known {
  const key = serverKey(target);
  const known = servers.get(key) ?? {
    reported: { major: undefined, superuser: false },
    timeouts: 'as they are',
    refused: false,
  };
  servers.set(key, known);
  return known;
}

/** Records what a server reported, which decides which settings it has and which of them this role may set. */
export function noteServer(target: ConnectionTarget, { major, superuser }: ReportedByServer): void {
  knownOf(target).reported = { major, superuser };
}

/** Additional startup options for a program that connects to this server. */
export function programPins(target: ConnectionTarget): readonly string[] {
  const { reported, refused } = knownOf(target);
  return refused ? [] : startupOptions(reported, 'all');
}

/** Additional startup options for our own sessions. */
export function sessionPins(target: ConnectionTarget): readonly string[] {
  const { reported, timeouts, refused } = knownOf(target);
  return refused || timeouts === 'as they are' ? [] : startupOptions(reported, 'timeouts');
}

/** SQLSTATEs: cancelled; timeouts of an idle session, an idle transaction, a transaction. */
const ENDED_BY_TIMEOUT = new Set(['57014', '57P05', '25P03', '25P04']);

/**
 * Records that a timeout ended a session before it had set its own timeouts. Returns true when the caller must start the session again,
 * with the timeouts pinned.
 *
 * @param errors the errors of the session and of its connection
 * @param begunWith the session's startup options, since another session may have learned the same meanwhile
 */
export function learnsShortTimeouts(
  target: ConnectionTarget,
  errors: readonly unknown[],
  begunWith: readonly string[],
): boolean {
  const isTimeout = errors
    .flatMap((error) => [error, error instanceof HoldfastError ? error.cause : undefined])
    .some((error) => ENDED_BY_TIMEOUT.has(sqlState(error) ?? ''));
  if (!isTimeout) return false;
  const known = knownOf(target);
  known.timeouts = 'too short';
  return sessionPins(target).some((pin) => !begunWith.includes(pin));
}

/** SQLSTATEs: protocol violation (from a pooler that forwards no options), permission denied, no such setting. */
const REFUSED = new Set(['08P01', '42501', '42704']);

/** Records that a session's startup options were refused. Returns true when the caller must start the session again, without them. */
export function learnsRefusedPins(target: ConnectionTarget, error: unknown): boolean {
  const state = sqlState(error);
  if (sessionPins(target).length === 0 || state === undefined || !REFUSED.has(state)) return false;
  knownOf(target).refused = true;
  return true;
}

/** Messages of PostgreSQL and pgbouncer about startup options that they refuse. */
const REFUSAL =
  /unsupported startup (?:parameter|option)|unrecognized configuration parameter|permission denied to set parameter|invalid command-line argument/i;

/**
 * Records that a program could not connect with these options. Returns true when the caller must run it again, without them. Its output is then
 * read according to the settings in it (`sql-text.ts`).
 */
export function learnsRefusedByProgram(target: ConnectionTarget, said: string): boolean {
  if (programPins(target).length === 0 || !REFUSAL.test(said)) return false;
  knownOf(target).refused = true;
  return true;
}
