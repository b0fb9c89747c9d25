import { HoldfastError } from '../../../model/errors.ts';
import { type ConnectionTarget, serverKey } from './connection-url.ts';
import { sqlState } from './errors.ts';
import { type ReportedByServer, startupOptions } from './session-settings.ts';

/*
 * The defaults of a server, a database or a role hold for every session until it sets something else. The dump programs read the catalogue
 * before they set anything, and write the text of a schema by those defaults; a short timeout can end a session of ours before its first statement.
 * Options with which a session begins come before all defaults, but a pooler may refuse them. So programs are given all of them, sessions of
 * ours the timeouts where one was too short, and neither any more where they were refused.
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

/** Notes what a server said of itself: which settings it has, and which of them this role may set. */
export function noteServer(target: ConnectionTarget, { major, superuser }: ReportedByServer): void {
  knownOf(target).reported = { major, superuser };
}

/** Further options for a program that connects to this server. */
export function programPins(target: ConnectionTarget): readonly string[] {
  const { reported, refused } = knownOf(target);
  return refused ? [] : startupOptions(reported, 'all');
}

/** Further options for a session of ours. */
export function sessionPins(target: ConnectionTarget): readonly string[] {
  const { reported, timeouts, refused } = knownOf(target);
  return refused || timeouts === 'as they are' ? [] : startupOptions(reported, 'timeouts');
}

/** Cancelled; timeouts of an idle session, an idle transaction, a transaction. */
const ENDED_BY_TIMEOUT = new Set(['57014', '57P05', '25P03', '25P04']);

/**
 * Notes that a session was ended before it had set its timeouts. Returns true where it has to be begun again, with the timeouts pinned.
 *
 * @param errors what the session failed with, and what its connection did
 * @param begunWith the options that it was begun with, since another session may have learned the same meanwhile
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

/** Protocol violation (a pooler that passes no options on), permission denied, no such setting. */
const REFUSED = new Set(['08P01', '42501', '42704']);

/** Notes that the options of a session were refused. Returns true where it has to be begun again, without them. */
export function learnsRefusedPins(target: ConnectionTarget, error: unknown): boolean {
  const state = sqlState(error);
  if (sessionPins(target).length === 0 || state === undefined || !REFUSED.has(state)) return false;
  knownOf(target).refused = true;
  return true;
}

/** What PostgreSQL and pgbouncer say to options that they don't take. */
const REFUSAL =
  /unsupported startup (?:parameter|option)|unrecognized configuration parameter|permission denied to set parameter|invalid command-line argument/i;

/**
 * Notes that a program could not connect with the options. Returns true where it has to be run again, without them: what it then writes is read
 * by the settings that stand in it (`sql-text.ts`).
 */
export function learnsRefusedByProgram(target: ConnectionTarget, said: string): boolean {
  if (programPins(target).length === 0 || !REFUSAL.test(said)) return false;
  knownOf(target).refused = true;
  return true;
}
