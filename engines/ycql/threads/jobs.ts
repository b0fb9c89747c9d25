import type { ChunkSpec, DataObject } from '../../../model/backup.ts';
import type { YcqlSource } from '../../../model/pipeline.ts';
import type { WritingWishes } from '../restore/writing-rules.ts';
import type { TableSchema, UserType } from '../schema.ts';
import type { CqlTarget } from '../target.ts';

interface Job {
  readonly target: CqlTarget;
  readonly source: YcqlSource;
  /** Bounds what all threads together ask of the target. */
  readonly limit: SharedArrayBuffer;
}

/** Reads one chunk into parts: pages as the server sent them, compressed and hashed. */
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
  /** Keyspace that they go to. */
  readonly into: string;
  readonly table: TableSchema;
  readonly types: readonly UserType[];
  readonly wishes: WritingWishes;
}

export type ThreadJob = ReadJob | LoadJob;
