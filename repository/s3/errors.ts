import { HoldfastError, messageOf, permanent, transient } from '../../model/errors.ts';
import { busy, connectionError, refused, unreachable } from '../connection.ts';

/** What is known of an error of the AWS SDK. */
interface Failure {
  /** The service's error code (`NoSuchBucket`), else the SDK's class name. */
  readonly name: string;
  /** Node's errno, if the connection failed. */
  readonly errno: string | undefined;
  readonly httpStatus: number | undefined;
  readonly message: string;
}

const CREDENTIALS = new Set([
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'InvalidToken',
  'ExpiredToken',
  'ExpiredTokenException',
  'TokenRefreshRequired',
  'XAdminUserNotFound', // versitygw's InvalidAccessKeyId
]);
const DENIED = new Set([
  'AccessDenied',
  'Forbidden',
  'AllAccessDisabled',
  'AccountProblem',
  'KMS.AccessDeniedException',
]);
const REGION = new Set([
  'PermanentRedirect',
  'TemporaryRedirect',
  'AuthorizationHeaderMalformed',
  'IllegalLocationConstraintException',
]);
const BUSY = new Set([
  'SlowDown',
  'ServiceUnavailable',
  'InternalError',
  'RequestTimeout',
  'Throttling',
  'ThrottlingException',
  'TooManyRequests',
  'RequestLimitExceeded',
  'OperationAborted',
  'ConditionalRequestConflict',
]);
const FULL = new Set([
  'QuotaExceeded',
  'InsufficientStorage',
  'XMinioStorageFull',
  'XMinioAdminBucketQuotaExceeded',
]);

/**
 * The error of a store for an error of the AWS SDK. `what` says what was tried, e.g. `write data/x`. Returns anything that is not a failure of the store (a
 * programming error, an abort) unchanged.
 */
export function s3Error(error: unknown, what: string, description: string): unknown {
  if (error instanceof HoldfastError || !(error instanceof Error)) return error;
  const failure = failureOf(error);
  const tried = `Can't ${what} in ${description}`;
  const details = [failure.name, failure.httpStatus].filter((part) => part !== undefined).join(', ');
  if (failure.name === 'NoSuchBucket') {
    return permanent(
      'STORE_NO_BUCKET',
      `${tried}: the bucket does not exist.`,
      'Create the bucket, or correct `bucket`, `endpoint` and `region` in the plan file.',
      error,
    );
  }
  if (failure.name === 'InvalidRequest' && /Object ?Lock ?Configuration/i.test(failure.message)) {
    return permanent(
      'STORE_NO_OBJECT_LOCK',
      `${tried}: the plan asks for \`objectLock\`, and the bucket was made without it.`,
      'Make a bucket with object lock (it can be had with a new bucket alone, on most stores), or remove `objectLock`.',
      error,
    );
  }
  if (isLockRefusal(failure)) {
    return permanent(
      'STORE_LOCKED',
      `${tried}: the store keeps it locked (${failure.message}).`,
      'Wait until its lock ends. No permission is missing.',
      error,
    );
  }
  if (CREDENTIALS.has(failure.name)) {
    return permanent(
      'STORE_CREDENTIALS',
      `${tried}: the credentials are not accepted (${details}).`,
      'Correct the access key and the secret that this worker uses, or renew the session token.',
      error,
    );
  }
  if (failure.name === 'CredentialsProviderError') {
    return permanent(
      'STORE_NO_CREDENTIALS',
      `${tried}: this worker has no credentials for S3 (${failure.message}).`,
      'Name them under `credentials` in the plan file, or give the worker AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role.',
      error,
    );
  }
  if (failure.name === 'RequestTimeTooSkewed' || failure.name === 'RequestExpired') {
    return permanent(
      'STORE_CLOCK_SKEW',
      `${tried}: this machine's clock differs too much from the store's (${details}).`,
      'Set the clock of this machine, best by NTP.',
      error,
    );
  }
  if (REGION.has(failure.name) || failure.httpStatus === 301) {
    return permanent(
      'STORE_WRONG_REGION',
      `${tried}: the bucket is in another region (${failure.message}).`,
      "Set `region` in the plan file to the bucket's region.",
      error,
    );
  }
  if (failure.message === 'Region is missing') {
    return permanent(
      'STORE_WRONG_REGION',
      `${tried}: no region is known.`,
      'Set `region` in the plan file, or AWS_REGION for the worker.',
      error,
    );
  }
  if (FULL.has(failure.name) || failure.httpStatus === 507) {
    return permanent(
      'STORE_FULL',
      `${tried}: the store is full or the quota is used up (${details}).`,
      'Free space or raise the quota, then run it again.',
      error,
    );
  }
  const lost = connectionError(failure.errno, tried, error);
  if (lost !== undefined) return lost;
  if (failure.name === 'TimeoutError') return unreachable(tried, failure.errno ?? failure.message, error);
  if (BUSY.has(failure.name) || failure.httpStatus === 429 || (failure.httpStatus ?? 0) >= 500) {
    if (failure.name === 'NotImplemented' || failure.httpStatus === 501)
      return unsupported(tried, failure, error);
    return busy(tried, details, error);
  }
  if (DENIED.has(failure.name) || failure.httpStatus === 403 || failure.httpStatus === 401) {
    return permanent(
      'STORE_DENIED',
      `${tried}: access is denied (${details}).`,
      'Allow s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket and s3:AbortMultipartUpload on the bucket and prefix, with `objectLock` also s3:GetObjectRetention and s3:PutObjectRetention; check the credentials.',
      error,
    );
  }
  if (failure.httpStatus !== undefined && failure.httpStatus < 300) {
    return transient(
      'STORE_UNREACHABLE',
      `${tried}: the answer was cut or garbled (${failure.message}).`,
      'Check proxies between this machine and the store; it is tried again.',
      error,
    );
  }
  if (failure.httpStatus === undefined) return error;
  return refused(tried, `${details}: ${failure.message}`, error);
}

/** The service's error code or the SDK's class name, e.g. `PreconditionFailed`. */
export function s3ErrorName(error: unknown): string | undefined {
  return error instanceof Error ? failureOf(error).name : undefined;
}

/** The HTTP status of an error; 0 where the store gave no answer. */
export function httpStatusOf(error: unknown): number {
  return (error instanceof Error ? failureOf(error).httpStatus : undefined) ?? 0;
}

/**
 * Whether a lock caused the refusal. AWS, versitygw and Ceph answer as for a missing permission, MinIO as for a bad request; only the message differs (seen
 * with versitygw 1.8.0).
 */
function isLockRefusal({ name, message }: Failure): boolean {
  return (
    ['AccessDenied', 'InvalidRequest', 'ObjectLocked'].includes(name) && /object ?lock|WORM/i.test(message)
  );
}

function unsupported(tried: string, failure: Failure, error: unknown): HoldfastError {
  return permanent(
    'STORE_UNSUPPORTED',
    `${tried}: the store lacks this operation (${failure.message}).`,
    'Use a store that supports conditional writes (`If-None-Match`) and SHA-256 checksums.',
    error,
  );
}

function failureOf(error: Error): Failure {
  return {
    name: stringMember(error, 'Code') ?? error.name,
    errno: stringMember(error, 'code'),
    httpStatus: statusOf(error),
    message: messageOf(error),
  };
}

function stringMember(error: object, name: string): string | undefined {
  const value: unknown = Reflect.get(error, name);
  return typeof value === 'string' ? value : undefined;
}

function statusOf(error: object): number | undefined {
  const metadata: unknown = Reflect.get(error, '$metadata');
  if (typeof metadata !== 'object' || metadata === null) return undefined;
  const status: unknown = Reflect.get(metadata, 'httpStatusCode');
  return typeof status === 'number' ? status : undefined;
}
