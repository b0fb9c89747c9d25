import type { ManifestTable } from '../../../model/manifest.ts';
import type { DumpEntry } from '../server/dump-script.ts';
import type { DatabaseJob } from './job.ts';

/** Entries of post-data that are applied in one transaction. */
export interface PostDataUnit {
  readonly database: DatabaseJob;
  /** Unique in the database, the same on every worker. */
  readonly id: string;
  /** Name of the one table that the entries are about; absent where they are about several, or other things. */
  readonly table?: string;
  /** Loaded table, quoted, to vacuum first. */
  readonly vacuum?: string;
  /** Loaded table to count, for the comparison at the end. */
  readonly count?: ManifestTable;
  readonly entries: readonly DumpEntry[];
  /** COPY text of the tables that each of its entries passes over; absent where they pass over none, or nothing is known. */
  readonly bytes?: number;
  /** Quoted tables to lock first, in an order that is the same for all units, so that they can't deadlock. */
  readonly lockTables: readonly string[];
  /** Sequences get their values first, since what follows may read them. */
  readonly sequences?: true;
  /** Of the entries those are tried once more that were left out. */
  readonly again?: true;
}

/** Units that are applied one after the other. */
export type Strand = readonly PostDataUnit[];

/** What one activity applies, one unit after the other. */
export type PostDataBatch = readonly PostDataUnit[];
