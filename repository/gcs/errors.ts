import { HoldfastError, messageOf, permanent } from '../../model/errors.ts';
import { busy, connectionError, refused, unreachable } from '../connection.ts';
import { STORE_LOCKED } from '../store-errors.ts';

const RATE = new Set(['rateLimitExceeded', 'userRateLimitExceeded', 'quotaExceeded']);
const RETAINED = new Set(['retentionPolicyNotMet', 'objectUnderActiveHold']);

/** An answer of Cloud Storage that is not what was asked for. */
export class GcsFailure extends Error {
  override readonly name = 'GcsFailure';
  readonly status: number;
  /** Google's word for the cause, such as `notFound`. */
  readonly reason: string | undefined;

  constructor(status: number, body: string) {
    const { message, reason } = detailsOf(body);
    super(message ?? `status ${status}`);
    this.status = status;
    this.reason = reason;
  }
}

/** The error of a store for whatever a call has thrown; unchanged where it is no failure of the store. @param what e.g. `write data/x` */
export function gcsError(error: unknown, what: string, description: string): unknown {
  if (error instanceof HoldfastError || !(error instanceof Error)) return error;
  const tried = `Can't ${what} in ${description}`;
  if (error instanceof GcsFailure) return answered(error, tried);
  const errno = errnoOf(error) ?? errnoOf(error.cause);
  return connectionError(errno, tried, error) ?? tokenError(error, tried) ?? error;
}

function answered(failure: GcsFailure, tried: string): HoldfastError {
  const { status, reason = '', message } = failure;
  const details = `${reason === '' ? '' : `${reason}, `}${status}: ${message}`;
  if (status < 300) return unreachable(tried, 'the answer was cut or garbled', failure);
  if (status === 404) {
    return permanent(
      'STORE_NO_BUCKET',
      `${tried}: the bucket does not exist (${details}).`,
      'Create the bucket, or correct `bucket` and `endpoint` in the plan file.',
      failure,
    );
  }
  if (status === 401) {
    return permanent(
      'STORE_CREDENTIALS',
      `${tried}: the credentials are not accepted (${details}).`,
      'Correct the key that `credentials` refers to or the one of this machine; a key that was deleted must be made anew.',
      failure,
    );
  }
  if (status === 403 && RETAINED.has(reason)) {
    return permanent(
      STORE_LOCKED,
      `${tried}: the bucket's retention keeps it (${details}).`,
      'Wait until its lock ends. No permission is missing.',
      failure,
    );
  }
  if (status === 429 || status === 408 || status >= 500 || RATE.has(reason))
    return busy(tried, details, failure);
  if (status === 403) {
    return permanent(
      'STORE_DENIED',
      `${tried}: access is denied (${details}).`,
      'Give the account of the worker the role Storage Object User (roles/storage.objectUser) on the bucket: it reads, lists, writes over and deletes objects.',
      failure,
    );
  }
  return refused(tried, details, failure);
}

/** Errors of `google-auth-library`, which has none of its own kind: a key or a machine without one, or Google's answer to a request for a token. */
function tokenError(error: Error, tried: string): HoldfastError | undefined {
  const message = messageOf(error);
  if (/default credentials|metadata/i.test(message)) {
    return permanent(
      'STORE_NO_CREDENTIALS',
      `${tried}: this worker has no credentials for Google Cloud (${message}).`,
      'Name them under `credentials` in the plan file, or give the worker GOOGLE_APPLICATION_CREDENTIALS or a service account.',
      error,
    );
  }
  if (/iat and exp|short-lived token/i.test(message)) {
    return permanent(
      'STORE_CLOCK_SKEW',
      `${tried}: this machine's clock differs too much from the store's (${message}).`,
      'Set the clock of this machine, best by NTP.',
      error,
    );
  }
  const status = statusOf(error);
  if (status !== undefined && (status === 429 || status >= 500)) return busy(tried, message, error);
  if (status === undefined && !/private.?key|client_email|PEM|DECODER|JSON|type/i.test(message))
    return undefined;
  return permanent(
    'STORE_CREDENTIALS',
    `${tried}: Google gives no token for the credentials (${message}).`,
    'Correct the key that `credentials` refers to or the one of this machine; a key that was deleted must be made anew.',
    error,
  );
}

function detailsOf(body: string): { readonly message?: string; readonly reason?: string } {
  try {
    const { error } = JSON.parse(body);
    const reason: unknown = error?.errors?.[0]?.reason;
    return {
      ...(typeof error?.message === 'string' ? { message: error.message } : {}),
      ...(typeof reason === 'string' ? { reason } : {}),
    };
  } catch {
    // Not JSON: a proxy's page, or an emulator's text.
    const text = body.trim();
    return text === '' ? {} : { message: text.slice(0, 300) };
  }
}

function errnoOf(error: unknown): string | undefined {
  const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
  return typeof code === 'string' ? code : undefined;
}

function statusOf(error: Error): number | undefined {
  const status: unknown = Reflect.get(error, 'status');
  return typeof status === 'number' ? status : undefined;
}
