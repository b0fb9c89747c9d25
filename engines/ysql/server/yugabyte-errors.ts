/**
 * Texts of YugabyteDB's errors that pass by themselves: a node restarts, a leader moves, a tablet splits, DDL runs at the same time.
 * Before 2025 nearly all of them had SQLSTATE XX000 ("internal error") and some 40001; newer builds have codes of their own (`YB001`
 * …, issue 28956). So the text decides. Source: facts yugabytedb-programs R8; YugabyteDB issues 3587, 7993, 8992, 9388, 15220, 24004.
 */
const PASSING: readonly RegExp[] = [
  /timed out/i,
  /restart read required|read restart/i,
  /restarting a DDL transaction (?:is )?not supported/i,
  /catalog version mismatch|schema version mismatch|catalog version .*(?:stale|old)/i,
  /operation expired/i,
  /network error/i,
  /service unavailable|server is shutting down|shutdown in progress/i,
  /not the leader|leader not ready|leader does not have a valid lease|no leader/i,
  /expired or aborted/i,
  /unknown transaction|recently aborted|transaction (?:metadata missing|expired|aborted)|cannot determine transaction status/i,
  /conflicts with (?:higher priority|committed|concurrent)/i,
  /could not serialize access/i,
  /tablet .*(?:has been|was) split|tablet not found/i,
];

/** SQLSTATEs under which YugabyteDB reports such errors. All others mean the same as in PostgreSQL. */
const UNDER = /^(?:XX000|40001|YB...)$/;

const REMEDY =
  'It is tried again: nodes restart, leaders move and DDL runs beside. If it stays, look at the logs of the tablet servers and at what changes the schema.';

/** The remedy for a text of an error that passes by itself; undefined for any other text. Also works for what a program of YugabyteDB wrote to stderr. */
export function passingText(text: string): string | undefined {
  return PASSING.some((pattern) => pattern.test(text)) ? REMEDY : undefined;
}

/** Like `passingText`, for an error with an SQLSTATE. */
export function passingError(state: string, message: string, detail: string | undefined): string | undefined {
  return UNDER.test(state) ? passingText(`${message}\n${detail ?? ''}`) : undefined;
}
