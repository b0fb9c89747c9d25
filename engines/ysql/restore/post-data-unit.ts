import type { ManifestTable } from '../../../model/manifest.ts';
import type { DumpEntry } from '../server/dump-script.ts';
import type { DatabaseJob } from './job.ts';

/** Entries of post-data that are applied in one transaction. */
export interface PostDataUnit {
  readonly database: DatabaseJob;
  /** Unique in the database, the same on every worker. */
  readonly id: string;
  /** Name of the table that all entries belong to; absent when they belong to several tables or to none. */
  readonly table?: string;
  /** Quoted name of a loaded table to vacuum first. */
  readonly vacuum?: string;
  /** Loaded table to count, for the comparison at the end. */
  readonly count?: ManifestTable;
  readonly entries: readonly DumpEntry[];
  /** Bytes of COPY text that each of its entries processes; absent when they process none, or the size is not known. */
  readonly bytes?: number;
  /** Quoted names of tables to lock first, in an order that is the same for all units, so that units can't deadlock. */
  readonly lockTables: readonly string[];
  /** Set the sequences first, since the entries may read them. */
  readonly sequences?: true;
  /** Retry only the entries that were left out. */
  readonly again?: true;
}

/** Units that are applied one after the other. */
export type Strand = readonly PostDataUnit[];

/** What one activity applies, one unit after the other. */
export type PostDataBatch = readonly PostDataUnit[];
