import type { RepositorySpec, Retention } from './pipeline.ts';

/** What one run of `prune` is told. */
export interface PruneInput {
  readonly plan: string;
  readonly repository: RepositorySpec;
  /** Absent: no backup is deleted, only what interrupted ones left is. */
  readonly retention?: Retention;
  /** How long the writer of an unfinished backup may be silent and still come back. Default: a day. */
  readonly orphanGraceMs?: number;
}

/** What a folder of the plan held that no manifest names. */
export interface OrphanFolder {
  readonly backup: string;
  /** `unfinished`: its writer is gone; `unnamed`: beside a manifest; `discarded`: of a backup that was given up or deleted. */
  readonly kind: 'unfinished' | 'unnamed' | 'discarded';
  readonly objects: number;
  readonly bytes: number;
}

/** Names are told up to this many; counts are of all. */
export const PRUNE_NAMES_TOLD = 200;

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
  /** Begun to be read meanwhile: they stay. */
  readonly inUse: readonly string[];
}

export interface OrphanSummary {
  /** What was found, folder by folder. */
  readonly orphans: readonly OrphanFolder[];
  readonly deletedObjects: number;
  readonly deletedBytes: number;
  readonly discardedUploads: number;
  /** Objects that backups share, in two phases of their own; absent where it could not be told which are needed. */
  readonly shared?: {
    readonly condemnedObjects: number;
    readonly condemnedBytes: number;
    readonly deletedObjects: number;
  };
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
