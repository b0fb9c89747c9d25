import type { ChunkSpec, DataObject, LogicalReadPoint } from '../../../model/backup.ts';
import type { ConnectionTarget } from '../server/connection-url.ts';

/** Reads chunks at the read point into parts: COPY rows, compressed and hashed. */
export interface ReadJob {
  readonly kind: 'read';
  readonly target: ConnectionTarget;
  readonly readPoint: LogicalReadPoint;
  readonly chunks: readonly ChunkSpec[];
  /** A part ends before it grows beyond this, bytes of COPY text. */
  readonly partBytes: number;
  readonly zstdLevel: number;
}

/** Loads objects of one database in one transaction, which also records them as loaded. */
export interface LoadJob {
  readonly kind: 'load';
  readonly target: ConnectionTarget;
  /** Names that the database under restore may have now, the likeliest first. */
  readonly names: readonly string[];
  /** Id of the restore. The database's bookkeeping must have the same id. */
  readonly restore: string;
  readonly objects: readonly LoadedObject[];
  /** Encoding of the text in the objects. */
  readonly encoding: string;
  /** True when the tables existed before the restore: their column types may differ from the backup's. */
  readonly intoExisting: boolean;
}

/** An object with its stored bytes. */
export interface LoadedObject {
  readonly object: DataObject;
  readonly body: Uint8Array<SharedArrayBuffer>;
}

/** Closes the sessions that a thread keeps open for their next use. */
interface CloseJob {
  readonly kind: 'close';
  /** Key of the sessions, as in `session-pool.ts`. */
  readonly sessions: string;
}

export type ThreadJob = ReadJob | LoadJob | CloseJob;
