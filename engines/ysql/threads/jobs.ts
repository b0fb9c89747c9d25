import type { ChunkSpec, DataObject, LogicalReadPoint } from '../../../model/backup.ts';
import type { ConnectionTarget } from '../server/connection-url.ts';

/** Reads chunks at the read point into parts: text compressed and hashed. */
export interface ReadJob {
  readonly kind: 'read';
  readonly target: ConnectionTarget;
  readonly readPoint: LogicalReadPoint;
  readonly chunks: readonly ChunkSpec[];
  /** A part is closed before it outgrows this, bytes of COPY text. */
  readonly partBytes: number;
  readonly zstdLevel: number;
}

/** Loads objects of one database in a transaction that also notes them as loaded. */
export interface LoadJob {
  readonly kind: 'load';
  readonly target: ConnectionTarget;
  /** Names that the database under restore may bear now, the likeliest first. */
  readonly names: readonly string[];
  /** Id of the restore, by which the database is known as its own. */
  readonly restore: string;
  readonly objects: readonly LoadedObject[];
  /** Of the text in the objects. */
  readonly encoding: string;
  /** The tables were there before the restore, so their columns may have other types than the backup's. */
  readonly intoExisting: boolean;
}

/** An object with its stored bytes. */
export interface LoadedObject {
  readonly object: DataObject;
  readonly body: Uint8Array<SharedArrayBuffer>;
}

/** Closes the sessions that wait in a thread for their next use. */
interface CloseJob {
  readonly kind: 'close';
  /** Key of the sessions, as in `session-pool.ts`. */
  readonly sessions: string;
}

export type ThreadJob = ReadJob | LoadJob | CloseJob;
