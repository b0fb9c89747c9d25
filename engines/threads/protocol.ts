import type { DataObject } from '../../model/backup.ts';
import { HoldfastError, messageOf } from '../../model/errors.ts';

/**
 * What passes between the main thread and a thread that moves rows. All of it is cloned, except the bytes of rows, whose memory is shared. Jobs are
 * the engine's own. A job may hold a target with its password, so jobs stay inside this process.
 */

/** A finished part of a chunk. */
export interface Part {
  /** Index of its chunk in the job. Absent: the job has one chunk. */
  readonly chunk?: number;
  /** The object's bytes: whole zstd frames. The memory is the thread's, which reuses it once the main thread has taken the part. */
  readonly body: Uint8Array<SharedArrayBuffer>;
  /** Hex, of `body`. */
  readonly sha256: string;
  readonly rows: number;
  /** Before compression. */
  readonly bytes: number;
  /** When the rows were read; absent if all are of one instant. */
  readonly readAt?: NonNullable<DataObject['readAt']>;
  /** This, `bare` and `unread` are as in the `DataObject` that the part becomes. */
  readonly expiring?: number;
  readonly bare?: number;
  readonly unread?: readonly string[];
}

/** Messages from the main thread. */
export type ToThread<Job> =
  | { readonly type: 'job'; readonly job: Job }
  /** The parts were taken; their memory may be used again. */
  | { readonly type: 'taken' }
  | { readonly type: 'abort' };

/** Messages to the main thread. */
export type FromThread =
  | { readonly type: 'progress'; readonly amount: number }
  | { readonly type: 'log'; readonly message: string; readonly fields: LogFields }
  | { readonly type: 'parts'; readonly parts: readonly Part[] }
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly failure: ThreadFailure };

export type LogFields = Readonly<Record<string, unknown>>;

/** An error on its way between threads: a `HoldfastError` arrives as one. */
interface ThreadFailure {
  readonly message: string;
  readonly known?: {
    readonly code: string;
    readonly remedy: string;
    readonly transient: boolean;
    readonly maxEqual: number | undefined;
  };
}

/** Turns an error into a message that can be cloned. */
export function packFailure(error: unknown): ThreadFailure {
  const message = messageOf(error);
  if (!(error instanceof HoldfastError)) return { message };
  const { code, remedy, transient, maxEqual } = error;
  return { message, known: { code, remedy, transient, maxEqual } };
}

/** The inverse of `packFailure`. */
export function unpackFailure({ message, known }: ThreadFailure): Error {
  return known === undefined ? new Error(message) : new HoldfastError(known.code, message, known);
}
