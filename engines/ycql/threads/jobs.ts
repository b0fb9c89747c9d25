import type { ChunkSpec, DataObject } from '../../../model/backup.ts';
import type { YcqlSource } from '../../../model/pipeline.ts';
import type { WritingWishes } from '../restore/writing-rules.ts';
import type { TableSchema, UserType } from '../schema.ts';
import type { CqlTarget } from '../target.ts';

interface Job {
  readonly target: CqlTarget;
  readonly source: YcqlSource;
  /** Memory of the limit that bounds the load of all threads together on the target. */
  readonly limit: SharedArrayBuffer;
}

/** Reads one chunk into parts: the server's pages as they are, compressed and hashed. */
export interface ReadJob extends Job {
  readonly kind: 'read';
  readonly chunk: ChunkSpec;
  readonly zstdLevel: number;
}

/** Writes the rows of one object. */
export interface LoadJob extends Job {
  readonly kind: 'load';
  readonly object: DataObject;
  readonly body: Uint8Array<SharedArrayBuffer>;
  /** Keyspace that the rows go to. */
  readonly into: string;
  /** The table that the restore notes its progress in. */
  readonly journal: string;
  readonly table: TableSchema;
  readonly types: readonly UserType[];
  readonly wishes: WritingWishes;
}

export type ThreadJob = ReadJob | LoadJob;
