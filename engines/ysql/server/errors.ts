import pg from 'pg';
import {
  doubtful,
  HoldfastError,
  messageOf,
  NO_SUCH_DATABASE,
  permanent,
  READ_POINT_LOST,
  transient,
} from '../../../model/errors.ts';
import { showValues } from '../../show-values.ts';
import { fullWords, tellable } from './server-message.ts';
import { timeoutRemedy } from './timeouts.ts';
import { passingError } from './yugabyte-errors.ts';

/** The SQLSTATE of a server's error, undefined for anything else. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/** True when connecting failed because the database doesn't exist. */
export function isNoSuchDatabase(error: unknown): boolean {
  return error instanceof Error && sqlState(error.cause) === NO_SUCH_DATABASE;
}

/** What is known of the session in which an error occurred. */
interface Circumstances {
  readonly signal?: AbortSignal | undefined;
  /** Absent when it is not known (yet). */
  readonly product?: 'postgresql' | 'yugabytedb' | undefined;
  /** True when the session still answers: then the error belongs to the statement, whatever its code says. */
  readonly sessionAnswers?: boolean | undefined;
}

/** SQLSTATEs: bad text of a value, value out of its type's range, bad date; no such operator, no such conversion. */
const VALUE_REFUSED = new Set(['22P02', '22003', '22007', '22008', '42883', '42804', '42846']);

/**
 * Returns the SQLSTATE when a statement failed because the server refuses a value that it wrote itself; else undefined. The server's message
 * then holds that value, which is a row's data.
 */
export function refusedValue(error: unknown): string | undefined {
  const state = error instanceof HoldfastError ? sqlState(error.cause) : undefined;
  return state !== undefined && VALUE_REFUSED.has(state) ? state : undefined;
}

/**
 * Turns whatever a connection threw into a `HoldfastError`, and decides here, at the edge, whether a retry can help. The SQLSTATE
 * alone can't decide this: a foreign server's 08001 can come out of a statement while our own session is healthy
 * (`sessionAnswers`), and YugabyteDB reports most of its passing errors as internal errors (`yugabyte-errors.ts`).
 *
 * `doing` completes the sentence "Failed to …" and names the object; it must never hold a secret. The message holds no value of a
 * row.
 */
export function databaseError(error: unknown, doing: string, circumstances: Circumstances = {}): unknown {
  const { signal, product, sessionAnswers } = circumstances;
  if (signal?.aborted) return signal.reason;
  if (error instanceof HoldfastError) return error;
  const state = sqlState(error);
  const message = `Failed to ${doing}: ${describe(error)}`;
  if (readPointIsGone(state, messageOf(error))) {
    return permanent(
      READ_POINT_LOST,
      message,
      'A new read point is opened and the export starts over; on YugabyteDB raise timestamp_history_retention_interval_sec if this repeats.',
      error,
    );
  }
  if (product !== 'postgresql' && error instanceof pg.DatabaseError) {
    const passing = passingError(state ?? '', error.message, error.detail);
    if (passing !== undefined) return transient('YSQL_UNAVAILABLE', message, passing, error);
    // An earlier statement of this transaction failed, which YugabyteDB's own retries may hide.
    if (state === IN_FAILED_TRANSACTION && product === 'yugabytedb')
      return doubtful('YSQL_UNAVAILABLE', message, 'It is tried again in a new transaction.', error);
  }
  if (sessionAnswers === true && mayComeFromWithin(state)) {
    return doubtful('YSQL_STATEMENT_FAILED', message, withinRemedy(state), error);
  }
  if (state === NOT_SUPPORTED && /conversion between UTF8 and \S+ /.test(messageOf(error))) {
    return permanent(
      'YSQL_CANNOT_CARRY',
      message,
      'The server has no conversion to UTF8 for this encoding: move the content into a database in UTF8, and name that one.',
      error,
    );
  }
  const passing = passingCause(state, error);
  if (passing !== undefined) return transient('YSQL_UNAVAILABLE', message, passing, error);
  return permanent('YSQL_FAILED', message, remedyFor(state), error);
}

const IN_FAILED_TRANSACTION = '25P02';
const NOT_SUPPORTED = '0A000';

/**
 * True for SQLSTATEs about a connection, a limit or an object in use. The server raises them for our session; a foreign server or
 * a function can raise them within a statement. `sessionAnswers` tells the two cases apart.
 */
export function mayComeFromWithin(state: string | undefined): boolean {
  return state !== undefined && /^(?:08|53|57P|55006)/.test(state);
}

function withinRemedy(state: string | undefined): string {
  const own = state?.startsWith('53') === true ? passingRemedy(state) : undefined;
  return (
    own ??
    'The server itself answers: make reachable what the statement needs (a foreign server, another session’s object), or leave that object out.'
  );
}

function describe(error: unknown): string {
  if (!(error instanceof pg.DatabaseError)) return messageOf(error) || String(error);
  showValues(() => fullWords(error));
  return tellable(error);
}

/**
 * Recognises PostgreSQL's messages for a snapshot whose exporter is gone, and YugabyteDB's for history that was garbage-collected and
 * for DDL after the instant (issues 30993, 30828).
 */
function readPointIsGone(state: string | undefined, message: string): boolean {
  return (
    (state === '22023' && message.includes('invalid snapshot identifier')) ||
    message.includes('could not import the requested snapshot') ||
    /snapshot too old/i.test(message) ||
    message.includes('catalog snapshot used for this transaction has been invalidated')
  );
}

function passingCause(state: string | undefined, error: unknown): string | undefined {
  if (state === undefined) {
    return isNetworkError(error)
      ? 'Check that the database server runs and is reachable from this worker.'
      : undefined;
  }
  return timeoutRemedy(messageOf(error), state) ?? passingRemedy(state);
}

function passingRemedy(state: string): string | undefined {
  if (state === '40001' || state === '40P01') return 'It is tried again: another transaction was in the way.';
  if (state === '55P03') return 'Find the session that holds or awaits the lock (pg_locks) and end it.';
  if (state === '53100') return 'Free disk space on the database server.';
  if (state === '53200') return 'Raise max_locks_per_transaction or memory on the database server.';
  if (state.startsWith('53')) return 'Raise max_connections or lower the parallelism of the plan.';
  if (state === '57014') return 'Somebody cancelled the statement; it is tried again.';
  if (state.startsWith('08') || state.startsWith('57P')) return 'Wait until the database server is up again.';
  return undefined;
}
const NETWORK_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
]);

function isNetworkError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ('code' in error && typeof error.code === 'string' && NETWORK_CODES.has(error.code)) return true;
  if (error instanceof AggregateError) return error.errors.some(isNetworkError);
  return /connection terminated|connection ended|timeout expired|client has encountered a connection error|not queryable/i.test(
    error.message,
  );
}

function remedyFor(state: string | undefined): string {
  if (state === '28P01' || state === '28000') {
    return 'Check the user and password in the connection that the plan names, and pg_hba.conf on the server.';
  }
  if (state === NO_SUCH_DATABASE) return 'Check the database name in the connection URL.';
  if (state === '42501') return 'Grant the missing privilege to the role in the connection URL.';
  return "Read the server's message above; the statement can't succeed as things stand.";
}
