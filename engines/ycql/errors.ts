import { errors, types } from 'cassandra-driver';
import { doubtful, HoldfastError, messageOf, permanent, transient } from '../../model/errors.ts';
import { type Carried, isTooLarge, TO_SEE_IT, tellable, WITHHELD } from './server-message.ts';

const CODES = types.responseErrorCodes;

/** The error code of the CQL protocol that the server answered with; undefined if it did not answer. */
export function responseCode(error: unknown): number | undefined {
  return error instanceof errors.ResponseError ? error.code : undefined;
}

/** Whether the server refused the statement itself: it has a column, type, option or function that the server doesn't know. */
export function isInvalid(error: unknown): boolean {
  const code = responseCode(error);
  return code === CODES.invalid || code === CODES.syntaxError || code === CODES.configError;
}

/** Whether the role that is logged in lacks the permission. */
export function isUnauthorized(error: unknown): boolean {
  return responseCode(error) === CODES.unauthorized;
}

/** Whether the object that was to be created exists already. */
export function isAlreadyThere(error: unknown): boolean {
  return (
    responseCode(error) === CODES.alreadyExists ||
    (isInvalid(error) && /already exists|duplicate (object|table|type)/i.test(messageOf(error)))
  );
}

/** Whether the outcome of a write is unknown: it may have been done, or may still be done. */
export function isAmbiguous(error: unknown): boolean {
  const code = responseCode(error);
  if (code === undefined) return !(error instanceof errors.NoHostAvailableError && neverSent(error));
  return code === CODES.writeTimeout || code === CODES.serverError || code === CODES.writeFailure;
}

function neverSent(error: errors.NoHostAvailableError): boolean {
  return Object.values(error.innerErrors ?? {}).every(
    (inner) => inner instanceof Error && 'code' in inner && inner.code === 'ECONNREFUSED',
  );
}

/** Whether replicas answered that they could not read, most often because of too many tombstones. */
export function isReadFailure(error: unknown): boolean {
  return responseCode(error) === CODES.readFailure;
}

/** Whether no answer came in time, over a working connection. */
export function isTimeout(error: unknown): boolean {
  return error instanceof errors.OperationTimedOutError;
}

/** Whether the server is too slow or too busy for the request. A smaller one may succeed. */
export function isOverload(error: unknown): boolean {
  const code = responseCode(error);
  return (
    error instanceof errors.OperationTimedOutError ||
    code === CODES.readTimeout ||
    code === CODES.readFailure ||
    code === CODES.writeTimeout ||
    code === CODES.overloaded ||
    code === CODES.serverError
  );
}

/**
 * Turns an error of the driver into a `HoldfastError`, and decides here, at the edge, whether a retry can help. `doing` completes the sentence
 * "Failed to …" and names the object. It never holds a secret. The message holds no value of a row.
 *
 * @param carried what the statement carried, which the server's message may repeat
 */
export function cqlError(error: unknown, doing: string, carried: Carried, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason;
  if (error instanceof HoldfastError) return error;
  const message = `Failed to ${doing}: ${describe(error, carried)}`;
  const login = loginProblem(error);
  if (login === 'none') {
    return permanent(
      'YCQL_LOGIN_REFUSED',
      `Failed to ${doing}: the server requires authentication, and there is no login in the plan`,
      'Write `username` and `password` by reference in the plan (in a URL: cql://user:password@…).',
      error,
    );
  }
  if (login === 'wrong') {
    return permanent(
      'YCQL_LOGIN_REFUSED',
      `Failed to ${doing}: the server refused the login: ${tellable(loginRefusal(error), carried)}`,
      'Check the values that `username` and `password` of the plan name.',
      error,
    );
  }
  const tls = tlsProblem(error);
  if (tls !== undefined) return permanent('YCQL_TLS', message, tls, error);
  if (isTooLarge(error)) return permanent('YCQL_TOO_LARGE', message, ROOM_FOR_IT, error);
  if (responseCode(error) === CODES.serverError)
    return doubtful('YCQL_UNAVAILABLE', message, 'See the log of the nodes; it is tried again.', error);
  if (isUnresolved(error)) {
    const remedy = 'Check `contactPoints` in the plan, and that the name service of this worker knows them.';
    return transient('YCQL_UNAVAILABLE', message, remedy, error);
  }
  const remedy = passingCause(error);
  if (remedy !== undefined) return transient('YCQL_UNAVAILABLE', message, remedy, error);
  return permanent('YCQL_FAILED', message, message.includes(WITHHELD) ? TO_SEE_IT : remedyFor(error), error);
}

/** Rows are cut into statements of about a mebibyte, so that only a single cell is larger (`restore/mutation-size.ts`). */
const ROOM_FOR_IT =
  'A single cell is larger than that: give the nodes of the target a larger max_mutation_size (at most half of commitlog_segment_size, so raise that too) and native_transport_max_frame_size, in cassandra.yaml; or leave the table out (--exclude-tables).';

/** Says why the driver reached no node, or else repeats the error's own message. */
function describe(error: unknown, carried: Carried): string {
  if (!(error instanceof errors.NoHostAvailableError)) return tellable(error, carried);
  if (isUnresolved(error)) return 'no name of a contact point resolves to an address';
  const inner = Object.entries(error.innerErrors ?? {});
  if (inner.length === 0) return 'no node of the local data centre is up';
  const [first] = inner;
  const more = inner.length > 1 ? ` (and ${inner.length - 1} more nodes)` : '';
  return `no node answered; ${first?.[0]}: ${tellable(first?.[1], carried)}${more}`;
}

/** Only this message marks the error (`ControlConnection.init` of cassandra-driver 4.10). */
function isUnresolved(error: unknown): boolean {
  return error instanceof errors.NoHostAvailableError && error.message === 'No host could be resolved';
}

function innermost(error: unknown): readonly unknown[] {
  return error instanceof errors.NoHostAvailableError
    ? [error, ...Object.values(error.innerErrors ?? {})]
    : [error];
}

function loginProblem(error: unknown): 'none' | 'wrong' | undefined {
  const refusal = loginRefusal(error);
  if (refusal === undefined) return undefined;
  return /not set|provider|no authenticator/i.test(messageOf(refusal)) ? 'none' : 'wrong';
}

/** The error of the first node that refused the login; undefined if none did. */
function loginRefusal(error: unknown): unknown {
  return innermost(error).find(
    (one) => one instanceof errors.AuthenticationError || responseCode(one) === CODES.badCredentials,
  );
}

const TLS_CODE = /^(ERR_SSL|ERR_TLS|EPROTO|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|CERT_|HOSTNAME_MISMATCH)/;

function tlsProblem(error: unknown): string | undefined {
  for (const one of innermost(error)) {
    const code = one instanceof Error && 'code' in one ? String(one.code) : '';
    if (
      !TLS_CODE.test(code) &&
      !/wrong version number|self.signed|unable to verify|certificate/i.test(messageOf(one))
    )
      continue;
    return /WRONG_VERSION|packet length|wrong version/i.test(`${code} ${messageOf(one)}`)
      ? 'The server does not speak TLS on this port: remove `tls` from the plan, or correct `port`.'
      : 'Check `tls.ca`, `tls.serverName` and the client certificate in the plan against the certificates of the nodes.';
  }
  return undefined;
}

function passingCause(error: unknown): string | undefined {
  switch (responseCode(error)) {
    case CODES.unavailableException:
      return 'Not enough replicas are up for the plan’s consistency level: wait for them, or lower `consistencyLevel`.';
    case CODES.overloaded:
      return 'The server is overloaded: lower `load.rowsPerSecond`, `load.inFlightPerNode` or the parallelism.';
    case CODES.readTimeout:
    case CODES.writeTimeout:
      return 'Replicas did not answer in time: lower `load.pageRows` or the parallelism, and see how the nodes are.';
    case CODES.readFailure:
      return 'A replica failed to read, most often over too many tombstones: let compaction remove them, or raise tombstone_failure_threshold.';
    case CODES.writeFailure:
    case CODES.isBootstrapping:
    case CODES.truncateError:
      return 'See the log of the nodes; it is tried again.';
    case CODES.unprepared:
      return 'It is tried again.';
    case undefined:
      return error instanceof errors.ArgumentError || error instanceof TypeError
        ? undefined
        : 'Check that the nodes run and are reachable from this worker, and whether they ask for TLS (`tls` in the plan).';
    default:
      return undefined;
  }
}

function remedyFor(error: unknown): string {
  if (responseCode(error) === CODES.unauthorized) {
    return 'Grant the missing permission to the role that the plan logs in as.';
  }
  return "Read the server's message above; the statement can't succeed as things stand.";
}
