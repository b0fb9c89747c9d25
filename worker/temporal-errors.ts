import { type HoldfastError, permanent, transient } from '../model/errors.ts';

/** gRPC codes, as errors of Temporal's client carry them. */
export const GRPC = {
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  failedPrecondition: 9,
  unimplemented: 12,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** The gRPC code of an error of Temporal's client, or of its cause; undefined for any other error. */
export function grpcCodeOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  if ('code' in error && typeof error.code === 'number' && 'details' in error) return error.code;
  return grpcCodeOf(error.cause);
}

/**
 * The error for a failed request to Temporal, where its gRPC code says enough: `TEMPORAL_DENIED`, `TEMPORAL_UNREACHABLE`.
 * Undefined for any other error.
 */
export function temporalFailure(error: unknown): HoldfastError | undefined {
  switch (grpcCodeOf(error)) {
    case GRPC.permissionDenied:
    case GRPC.unauthenticated:
      return permanent(
        'TEMPORAL_DENIED',
        `Temporal refuses what was asked of it (${detailsOf(error)})`,
        'Check TEMPORAL_API_KEY, the client certificate and TEMPORAL_NAMESPACE, and what this identity may do in the namespace.',
        error,
      );
    case GRPC.unavailable:
    case GRPC.deadlineExceeded:
      return transient(
        'TEMPORAL_UNREACHABLE',
        `Temporal does not answer (${detailsOf(error)})`,
        'Try again when it is up.',
        error,
      );
    default:
      return undefined;
  }
}

/** The server's own words, since the client's message says only that something failed. */
export function detailsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ('details' in error && typeof error.details === 'string') return error.details || error.message;
  return error.cause === undefined ? error.message : detailsOf(error.cause);
}
