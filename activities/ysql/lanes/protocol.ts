import type { ChunkSpec, DataObject, LogicalReadPoint } from '../../../model/backup.ts';
import { HoldfastError, messageOf } from '../../../model/errors.ts';
import type { ConnectionTarget } from '../connection-url.ts';

/**
 * What passes between the main thread and a lane's. All of it is cloned, except the bytes of rows, whose memory is shared. The target holds a password: it stays inside this process.
 */

/** Reads one chunk at the read point into parts: text compressed and hashed. */
export interface ReadJob {
  readonly kind: 'read';
  readonly target: ConnectionTarget;
  readonly readPoint: LogicalReadPoint;
  readonly chunk: ChunkSpec;
  /** A part is closed before it outgrows this, bytes of COPY text. */
  readonly partBytes: number;
  readonly zstdLevel: number;
}

/** Loads one object in a transaction that also notes it as loaded. */
export interface LoadJob {
  readonly kind: 'load';
  readonly target: ConnectionTarget;
  /** Names that the database under restore may bear now, the likeliest first. */
  readonly names: readonly string[];
  /** Id of the restore, by which the database is known as its own. */
  readonly restore: string;
  readonly object: DataObject;
  /** Of the text in the object. */
  readonly encoding: string;
  readonly body: Uint8Array<SharedArrayBuffer>;
}

/** Closes the sessions that wait in a lane for their next use. */
export interface CloseJob {
  readonly kind: 'close';
  /** Key of the sessions, as in `session-pool.ts`. */
  readonly sessions: string;
}

export type LaneJob = ReadJob | LoadJob | CloseJob;

/** A finished part of a chunk. */
export interface Part {
  /** The object's bytes: zstd frames, each of them whole. In memory of the lane, which uses it again once it is told. */
  readonly body: Uint8Array<SharedArrayBuffer>;
  /** Hex, of `body`. */
  readonly sha256: string;
  readonly rows: number;
  /** COPY text before compression. */
  readonly bytes: number;
}

export type ToLane =
  | { readonly type: 'job'; readonly job: LaneJob }
  /** The part was taken; its memory may be used again. */
  | { readonly type: 'taken' }
  | { readonly type: 'abort' };

export type FromLane =
  | { readonly type: 'progress'; readonly bytes: number }
  | { readonly type: 'part'; readonly part: Part }
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly failure: LaneFailure };

/** An error on its way between threads: a `HoldfastError` arrives as one. */
export interface LaneFailure {
  readonly message: string;
  readonly known?: { readonly code: string; readonly remedy: string; readonly transient: boolean };
}

export function packFailure(error: unknown): LaneFailure {
  const message = messageOf(error);
  if (!(error instanceof HoldfastError)) return { message };
  const { code, remedy, transient } = error;
  return { message, known: { code, remedy, transient } };
}

export function unpackFailure({ message, known }: LaneFailure): Error {
  return known === undefined ? new Error(message) : new HoldfastError(known.code, message, known);
}
