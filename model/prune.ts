import type { Audience } from './notification.ts';
import type { RepositorySpec, Retention } from './pipeline.ts';

/** The input of one run of `prune`. */
export interface PruneInput extends Audience {
  readonly plan: string;
  readonly repository: RepositorySpec;
  /** Absent: no backup is deleted, only what interrupted backups left behind. */
  readonly retention?: Retention;
  /** How far back the plan's archive of changes is kept. Absent: nothing of the archive is deleted. */
  readonly archiveRetentionMs?: number;
  /** How far back exported history is kept, milliseconds. Absent: the retention judges these backups like all others. */
  readonly historyMs?: number;
  /** How long the writer of an unfinished backup may be silent before it counts as dead. Default: a day. */
  readonly orphanGraceMs?: number;
}

/** Objects in one folder of the plan that no manifest names. */
interface OrphanFolder {
  readonly backup: string;
  /**
   * `unfinished`: the backup's writer is gone; `unnamed`: beside a manifest that doesn't name them; `discarded`: the backup was
   * given up or deleted.
   */
  readonly kind: 'unfinished' | 'unnamed' | 'discarded';
  readonly objects: number;
  readonly bytes: number;
}

/** Most names in a list. Counts include all. */
export const MAX_PRUNE_NAMES = 200;

/** What the marking found. */
export interface MarkSummary {
  readonly backups: number;
  readonly kept: number;
  /** Newly marked backups, each with why no rule keeps it. */
  readonly marked: readonly string[];
  /** Backups that were marked before and that the present policy keeps. */
  readonly unmarked: readonly string[];
  /** Number of marked backups within their grace time. */
  readonly waiting: number;
  /** When the next of these grace times ends. */
  readonly nextDeletion?: string;
  /** Number of backups to delete now. */
  readonly due: number;
  /** Number of backups that no rule keeps and that were not marked, since they are more than the Repository's `deletion.atOnce`. Absent: none. */
  readonly heldBack?: number;
}

/** What was deleted. */
export interface DeleteSummary {
  readonly deleted: readonly string[];
  readonly deletedBackups: number;
  readonly deletedObjects: number;
  readonly deletedBytes: number;
  /** Backups that stay because a reader has begun to read them. */
  readonly inUse: readonly string[];
}

/** What the sweep removed. */
export interface OrphanSummary {
  /** What was found, folder by folder. */
  readonly orphans: readonly OrphanFolder[];
  readonly deletedObjects: number;
  readonly deletedBytes: number;
  readonly discardedUploads: number;
  /**
   * What was done with objects that backups share; they are deleted in two phases of their own. Absent where it isn't known which
   * are needed.
   */
  readonly shared?: {
    readonly condemnedObjects: number;
    readonly condemnedBytes: number;
    readonly deletedObjects: number;
  };
  /**
   * Segments of the archive of changes that were older than its retention and that no backup needs any more. Absent where the plan
   * has no archive.
   */
  readonly archive?: { readonly deletedSegments: number; readonly deletedBytes: number };
  /** Why shared objects were left alone. */
  readonly sharedProblem?: string;
}

/** How a prune ended. */
export interface PruneOutcome {
  readonly plan: string;
  readonly marks: MarkSummary;
  readonly deletions: DeleteSummary;
  readonly orphans: OrphanSummary;
  readonly durationMs: number;
}
