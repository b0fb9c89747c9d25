import type { DataObject } from '../../model/backup.ts';
import { HoldfastError, messageOf } from '../../model/errors.ts';

/**
 * What passes between the main thread and a thread that moves rows. All of it is cloned, except the bytes of rows, whose memory is
 * shared. Jobs are the engine's own; a target in one holds a password: it stays inside this process.
 */

/** A finished part of a chunk. */
export interface Part {
  /** Which of the job's chunks it is of. Absent: the job has one. */
  readonly chunk?: number;
  /** The object's bytes: zstd frames, each of them whole. In memory of the thread, which uses it again when the main thread has taken the part. */
  readonly body: Uint8Array<SharedArrayBuffer>;
  /** Hex, of `body`. */
  readonly sha256: string;
  readonly rows: number;
  /** Before compression. */
  readonly bytes: number;
  /** Where rows aren't all of one instant. */
  readonly readAt?: NonNullable<DataObject['readAt']>;
  /** As of the object that it becomes. */
  readonly expiring?: number;
  readonly unread?: readonly string[];
}

export type ToThread<Job> =
  | { readonly type: 'job'; readonly job: Job }
  /** The parts were taken; their memory may be used again. */
  | { readonly type: 'taken' }
  | { readonly type: 'abort' };

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

export function packFailure(error: unknown): ThreadFailure {
  const message = messageOf(error);
  if (!(error instanceof HoldfastError)) return { message };
  const { code, remedy, transient, maxEqual } = error;
  return { message, known: { code, remedy, transient, maxEqual } };
}

export function unpackFailure({ message, known }: ThreadFailure): Error {
  return known === undefined ? new Error(message) : new HoldfastError(known.code, message, known);
}
