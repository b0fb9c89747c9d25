import { type ConnectionTarget, serverKey } from './connection-url.ts';
import { sqlState } from './errors.ts';

/*
 * From PostgreSQL 17 on an event trigger can run at each login (`ON login`). A trigger that refuses logins would lock Holdfast out of a database,
 * even out of a copy that it has just restored. A trigger that writes a row would make the copy differ from its backup. A superuser can switch
 * event triggers off, but only in a session's startup options, which older servers and poolers refuse, and which other roles may not set. So the
 * first session to a server finds out whether it is allowed.
 */

/** Startup option of a superuser's session. */
const WITHOUT_EVENT_TRIGGERS = '-c event_triggers=off';

const FIRST_WITH_LOGIN_TRIGGERS = 17;

type Known = 'switched off' | 'left on';

const servers = new Map<string, Known>();

/** Additional startup options for sessions and programs that connect to this server. */
export function loginOptions(target: ConnectionTarget): readonly string[] {
  return servers.get(serverKey(target)) === 'switched off' ? [WITHOUT_EVENT_TRIGGERS] : [];
}

/**
 * Records what a server reported while a session was starting, even if the session then failed. Returns true when the caller must start the
 * session again, without event triggers.
 */
export function learnsToSwitchOff(
  target: ConnectionTarget,
  reported: { readonly major: number | undefined; readonly superuser: boolean },
): boolean {
  const may = reported.superuser && (reported.major ?? 0) >= FIRST_WITH_LOGIN_TRIGGERS;
  if (!may || servers.has(serverKey(target))) return false;
  servers.set(serverKey(target), 'switched off');
  return true;
}

/** SQLSTATEs: protocol violation (from a pooler that forwards no options), permission denied, no such setting. */
const REFUSED = new Set(['08P01', '42501', '42704']);

/** Records that the option was refused. Returns true when the caller must start the session again, without the option. */
export function learnsToLeaveOn(target: ConnectionTarget, error: unknown): boolean {
  const state = sqlState(error);
  if (loginOptions(target).length === 0 || state === undefined || !REFUSED.has(state)) return false;
  servers.set(serverKey(target), 'left on');
  return true;
}
