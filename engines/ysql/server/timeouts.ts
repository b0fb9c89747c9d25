/** PostgreSQL's messages when a setting ends a statement or a session (postgres.c, ProcessInterrupts). */
const TEXTS: readonly (readonly [RegExp, string])[] = [
  [/canceling statement due to statement timeout/i, 'statement_timeout'],
  [/terminating connection due to idle-session timeout/i, 'idle_session_timeout'],
  [/terminating connection due to idle-in-transaction timeout/i, 'idle_in_transaction_session_timeout'],
  [/terminating connection due to transaction timeout/i, 'transaction_timeout'],
];

/** SQLSTATEs that identify a timeout in any language of the server's messages. */
const STATES: Readonly<Record<string, string>> = {
  '57P05': 'idle_session_timeout',
  '25P03': 'idle_in_transaction_session_timeout',
  '25P04': 'transaction_timeout',
};

/** The remedy when a timeout ended a statement or a session, naming the setting; undefined when none did. */
export function timeoutRemedy(message: string, state?: string): string | undefined {
  const setting =
    (state === undefined ? undefined : STATES[state]) ?? TEXTS.find(([text]) => text.test(message))?.[1];
  if (setting === undefined) return undefined;
  return `The setting ${setting} ended it. Holdfast sets it to 0 in each session, which a pooler may keep from the server: connect directly, or set it to 0 for the role that Holdfast connects as (ALTER ROLE … SET ${setting} = 0).`;
}
