import { HoldfastError, messageOf } from '../model/errors.ts';
import { temporalFailure } from '../worker/temporal-errors.ts';

/** An error as JSON documents have it. */
export interface ErrorDocument {
  readonly code: string;
  readonly message: string;
  readonly remedy?: string;
}

/** The document of any error. Its code is `UNEXPECTED` unless the error is Holdfast's own or a known one of Temporal. */
export function describeError(error: unknown): ErrorDocument {
  const known = error instanceof HoldfastError ? error : temporalFailure(error);
  if (known !== undefined) return { code: known.code, message: known.message, remedy: known.remedy };
  return { code: 'UNEXPECTED', message: messageOf(error) };
}

/** What `work` gives. Whatever it throws becomes a `HoldfastError`: its code is `UNEXPECTED` where nobody knows the error. */
export async function typed<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asHoldfastError(error);
  }
}

/** Any error as a `HoldfastError`, with the original as its cause. */
export function asHoldfastError(error: unknown): HoldfastError {
  if (error instanceof HoldfastError) return error;
  return temporalFailure(error) ?? unexpected(error);
}

function unexpected(error: unknown): HoldfastError {
  return new HoldfastError('UNEXPECTED', messageOf(error), {
    remedy: 'Report it with what led to it; the cause of the error has its stack.',
    transient: false,
    cause: error,
  });
}
