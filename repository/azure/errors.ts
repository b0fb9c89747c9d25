import { HoldfastError, messageOf, permanent, transient } from '../../model/errors.ts';
import { busy, connectionError, refused, unreachable } from '../connection.ts';
import { STORE_LOCKED } from '../store-errors.ts';
import { firstElement } from './xml.ts';

/* The codes are those of https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes and …/blob-service-error-codes. */

const RETAINED = new Set(['BlobImmutableDueToPolicy', 'BlobImmutableDueToLegalHold', 'BlobHasLegalHold']);
const NO_CONTAINER = new Set(['ContainerNotFound', 'ContainerBeingDeleted', 'ContainerDisabled']);
const CREDENTIALS = new Set([
  'AuthenticationFailed',
  'InvalidAuthenticationInfo',
  'NoAuthenticationInformation',
  'AccountIsDisabled',
]);

/** An answer of the service that is not what was asked for. */
export class AzureFailure extends Error {
  override readonly name = 'AzureFailure';
  readonly status: number;
  /** Microsoft's word for the cause, such as `BlobNotFound`. */
  readonly code: string;

  /** @param code of the header, which answers to HEAD have as well */
  constructor(status: number, code: string | undefined, body: string) {
    // After the first line come the request's own names and times.
    const message = (firstElement(body, 'Message') ?? body.trim()).split('\n')[0] ?? '';
    const details = firstElement(body, 'AuthenticationErrorDetail');
    const words = [message.slice(0, 300), details].filter((part) => part !== undefined && part !== '');
    super(words.length === 0 ? `status ${status}` : words.join(' '));
    this.status = status;
    this.code = code ?? firstElement(body, 'Code') ?? '';
  }
}

/** The error of a store for whatever a call has thrown; unchanged where it is no failure of the store. @param what e.g. `write data/x` */
export function azureError(error: unknown, what: string, description: string): unknown {
  if (error instanceof HoldfastError || !(error instanceof Error)) return error;
  const tried = `Can't ${what} in ${description}`;
  if (error instanceof AzureFailure) return answered(error, tried);
  const errno: unknown = Reflect.get(error, 'code');
  const known = connectionError(typeof errno === 'string' ? errno : undefined, tried, error);
  return known ?? identityError(error, tried) ?? error;
}

function answered(failure: AzureFailure, tried: string): HoldfastError {
  const { status, code, message } = failure;
  const details = `${code === '' ? '' : `${code}, `}${status}: ${message}`;
  if (status < 300) return unreachable(tried, 'the answer was cut or garbled', failure);
  if (status === 429 || status === 408 || status >= 500) return busy(tried, details, failure);
  // Another writer of the same blob has put it meanwhile: the service then forgets the blocks of all others.
  if (code === 'InvalidBlockList') {
    return transient(
      'STORE_BUSY',
      `${tried}: another writer of the same object was faster (${details}).`,
      'Nothing is lost; it is tried again.',
      failure,
    );
  }
  if (NO_CONTAINER.has(code) || (status === 404 && code !== 'BlobNotFound')) {
    return permanent(
      'STORE_NO_BUCKET',
      `${tried}: the container does not exist (${details}).`,
      'Create the container, or correct `account`, `container` and `endpoint` in the plan file.',
      failure,
    );
  }
  if (RETAINED.has(code)) {
    return permanent(
      STORE_LOCKED,
      `${tried}: an immutability policy of the container keeps it (${details}).`,
      'Wait until its lock ends. No permission is missing.',
      failure,
    );
  }
  if (/request date header|not yet valid|Signature not valid in the specified (key )?time/i.test(message)) {
    return permanent(
      'STORE_CLOCK_SKEW',
      `${tried}: this machine's clock differs too much from the store's, or the shared access signature has ended (${details}).`,
      'Set the clock of this machine, best by NTP, or have a new signature made.',
      failure,
    );
  }
  // By its words too: Azurite has AuthorizationFailure for a wrong key.
  if (status === 401 || CREDENTIALS.has(code) || /failed to authenticate/i.test(message)) {
    return permanent(
      'STORE_CREDENTIALS',
      `${tried}: the credentials are not accepted (${details}).`,
      'Correct what `credentials` refers to (a key that was rotated must be copied anew), or the identity of this machine.',
      failure,
    );
  }
  if (status === 403) {
    return permanent(
      'STORE_DENIED',
      `${tried}: access is denied (${details}).`,
      'Give the identity of the worker the role Storage Blob Data Contributor on the container, or a signature with the permissions rwdl; let the account’s firewall take its address.',
      failure,
    );
  }
  return refused(tried, details, failure);
}

/** Errors of `@azure/identity`: a machine without an identity, or Microsoft's answer to a request for a token. */
function identityError(error: Error, tried: string): HoldfastError | undefined {
  const { name } = error;
  const message = messageOf(error).split('\n').slice(0, 3).join(' ').slice(0, 500);
  const status: unknown = Reflect.get(error, 'statusCode');
  if (typeof status === 'number' && (status === 429 || status >= 500)) return busy(tried, message, error);
  if (name === 'AuthenticationError') {
    return permanent(
      'STORE_CREDENTIALS',
      `${tried}: Microsoft gives no token for the identity of this worker (${message}).`,
      'Correct AZURE_TENANT_ID, AZURE_CLIENT_ID and what belongs to them, or the federation of the workload identity.',
      error,
    );
  }
  if (!/^(CredentialUnavailable|AggregateAuthentication|AuthenticationRequired)Error$/.test(name))
    return undefined;
  return permanent(
    'STORE_NO_CREDENTIALS',
    `${tried}: this worker has no identity for Azure (${message}).`,
    'Name a key or a signature under `credentials` in the plan file, or give the worker a managed or workload identity.',
    error,
  );
}
