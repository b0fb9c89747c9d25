import type { RepositorySpec, Retention } from './pipeline.ts';

/** The input of one run of `prune`. */
export interface PruneInput {
  readonly plan: string;
  readonly repository: RepositorySpec;
  /** Absent: no backup is deleted, only what interrupted backups left. */
  readonly retention?: Retention;
  /** How far back the plan's archive of changes is kept. Absent: nothing of it is deleted. */
  readonly archiveRetentionMs?: number;
  /** How far back exported history is kept, milliseconds. Absent: such backups are judged as all others are. */
  readonly historyMs?: number;
  /** How long the writer of an unfinished backup may be silent and still come back. Default: a day. */
  readonly orphanGraceMs?: number;
}

/** What a folder of the plan held that no manifest names. */
interface OrphanFolder {
  readonly backup: string;
  /** `unfinished`: its writer is gone; `unnamed`: beside a manifest; `discarded`: of a backup that was given up or deleted. */
  readonly kind: 'unfinished' | 'unnamed' | 'discarded';
  readonly objects: number;
  readonly bytes: number;
}

/** At most this many names are listed; counts include all. */
export const MAX_PRUNE_NAMES = 200;

export interface MarkSummary {
  readonly backups: number;
  readonly kept: number;
  /** Newly marked, each with why no rule keeps it. */
  readonly marked: readonly string[];
  /** Marked before, and kept by the policy of now. */
  readonly unmarked: readonly string[];
  /** Marked, and within their grace time. */
  readonly waiting: number;
  /** When the grace time of the next of these ends. */
  readonly nextDeletion?: string;
  /** To be deleted now. */
  readonly due: number;
}

export interface DeleteSummary {
  readonly deleted: readonly string[];
  readonly deletedBackups: number;
  readonly deletedObjects: number;
  readonly deletedBytes: number;
  /** Backups that a reader began to read meanwhile, so they stay. */
  readonly inUse: readonly string[];
}

export interface OrphanSummary {
  /** What was found, folder by folder. */
  readonly orphans: readonly OrphanFolder[];
  readonly deletedObjects: number;
  readonly deletedBytes: number;
  readonly discardedUploads: number;
  /** Objects that backups share, in two phases of their own. Absent where it isn't known which of them are needed. */
  readonly shared?: {
    readonly condemnedObjects: number;
    readonly condemnedBytes: number;
    readonly deletedObjects: number;
  };
  /** Of the archive of changes: segments older than its retention that no backup needs any more. Absent where the plan has none. */
  readonly archive?: { readonly deletedSegments: number; readonly deletedBytes: number };
  /** Why shared objects were left alone. */
  readonly sharedProblem?: string;
}

export interface PruneOutcome {
  readonly plan: string;
  readonly marks: MarkSummary;
  readonly deletions: DeleteSummary;
  readonly orphans: OrphanSummary;
  readonly durationMs: number;
}
