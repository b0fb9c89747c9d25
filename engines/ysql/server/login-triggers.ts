import { type ConnectionTarget, serverKey } from './connection-url.ts';
import { sqlState } from './errors.ts';

/*
 * From PostgreSQL 17 on an event trigger can run at each login (`ON login`). One that refuses logins would keep Holdfast out of a database, of
 * the copy that it has just restored too; one that writes a row would make the copy differ from its backup. A superuser can switch event triggers
 * off, but only in the options with which a session begins, which older servers, poolers and other roles refuse. So the first session to a
 * server decides whether it may be done.
 */

/** What a superuser's session begins with. */
const WITHOUT_EVENT_TRIGGERS = '-c event_triggers=off';

const FIRST_WITH_LOGIN_TRIGGERS = 17;

type Known = 'switched off' | 'left on';

const servers = new Map<string, Known>();

/** Further options for a session of this server, and for programs that connect to it. */
export function loginOptions(target: ConnectionTarget): readonly string[] {
  return servers.get(serverKey(target)) === 'switched off' ? [WITHOUT_EVENT_TRIGGERS] : [];
}

/**
 * Notes what a server said of itself while a session began, also where it then failed. Returns true where the session has to be begun again,
 * without event triggers.
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

/** Protocol violation (a pooler that passes no options on), permission denied, no such setting. */
const REFUSED = new Set(['08P01', '42501', '42704']);

/** Notes that the option was refused. Returns true where the session has to be begun again, as it is. */
export function learnsToLeaveOn(target: ConnectionTarget, error: unknown): boolean {
  const state = sqlState(error);
  if (loginOptions(target).length === 0 || state === undefined || !REFUSED.has(state)) return false;
  servers.set(serverKey(target), 'left on');
  return true;
}
