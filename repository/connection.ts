import type { HoldfastError } from '../model/errors.ts';
import { permanent, transient } from '../model/errors.ts';
import type { SecretRef } from '../model/pipeline.ts';

/** Reads a secret, if this worker has it. */
export type SecretResolver = (reference: SecretRef) => Promise<string>;

/** When a connection to a store counts as dead. */
export interface Timeouts {
  readonly connectMs: number;
  /** A connection on which nothing moves for this long is closed, and the request is tried again. */
  readonly idleMs: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = { connectMs: 5_000, idleMs: 60_000 };

/** More than the slots of any plan, so that slots never wait for a socket. */
export const CONNECTIONS = 128;

const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'EAI_AGAIN',
  'ENOTFOUND',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_DESTROYED',
]);
const TLS =
  /^(EPROTO|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|ERR_TLS_|ERR_SSL_|INVALID_CA)/;

/** The error for a connection that failed, by Node's errno. Undefined where it is not about the connection. @param tried a clause */
export function connectionError(
  errno: string | undefined,
  tried: string,
  cause: unknown,
): HoldfastError | undefined {
  if (errno === undefined) return undefined;
  if (TLS.test(errno)) {
    return permanent(
      'STORE_TLS',
      `${tried}: no trusted TLS connection (${errno}).`,
      'Check `http` or `https` in `endpoint`; give the worker the certificate authority in NODE_EXTRA_CA_CERTS.',
      cause,
    );
  }
  return NETWORK.has(errno) ? unreachable(tried, errno, cause) : undefined;
}

/** The error for a store that was not reached, or that hung up. @param reason an errno, or a clause */
export function unreachable(tried: string, reason: string, cause: unknown): HoldfastError {
  return transient(
    'STORE_UNREACHABLE',
    `${tried}: ${reason}.`,
    'Check that the endpoint is right and that this machine reaches it; it is tried again.',
    cause,
  );
}

/** The error of a store that asks to wait. @param details its code and status */
export function busy(tried: string, details: string, cause: unknown): HoldfastError {
  return transient(
    'STORE_BUSY',
    `${tried}: the store asks to try later (${details}).`,
    'Lower `parallelism` if this goes on; it is tried again.',
    cause,
  );
}

/** The error for an answer that nothing else explains. @param details its code and status */
export function refused(tried: string, details: string, cause: unknown): HoldfastError {
  return permanent(
    'STORE_FAILED',
    `${tried}: the store refused it (${details}).`,
    "Check the repository's options in the plan file against what this store supports.",
    cause,
  );
}

/** The error for a checksum that the store refused, though the bytes here match it. */
export function bentInTransit(key: string, description: string, cause: unknown): HoldfastError {
  return transient(
    'STORE_BENT_IN_TRANSIT',
    `The bytes of ${key} did not arrive in ${description} as they were sent; nothing was stored.`,
    'If this goes on, check the network and proxies between this machine and the store; it is tried again.',
    cause,
  );
}
