import type { Verdict } from './backup.ts';
import type { HistoryWindow } from './carried-history.ts';
import type { Contents, VerifyLevel } from './pipeline.ts';
import type { ArchiveChain, ReplayWish } from './replay.ts';

/** What can be restored, what is asked for, and what is decided. Times are ISO 8601 in UTC unless said otherwise. */

/** A backup as the catalogue describes it. */
export interface CatalogueEntry {
  readonly backup: string;
  /** The read point: the instant whose data the backup holds. Order by this, never by name. */
  readonly instant: string;
  readonly completedAt: string;
  /** Null where rows were not counted. */
  readonly rows: number | null;
  /** COPY text before compression. */
  readonly bytes: number;
  readonly storedBytes: number;
  /** As in the manifest. */
  readonly newBytes?: number;
  /** How long the backup took. */
  readonly durationMs?: number;
  readonly contents: Contents;
  /** The newest verification, whatever it found. */
  readonly verified?: { readonly level: VerifyLevel; readonly verdict: Verdict; readonly at: string };
  /** The newest verification that found the backup good. Absent where damage stands (`lastBad`). */
  readonly lastGood?: { readonly level: VerifyLevel; readonly at: string };
  /**
   * The newest verification that found damage, as long as no later one of at least its level found the backup good: who could not look, or only listed the
   * objects, has not refuted it. A restore that failed is refuted by any level.
   */
  readonly lastBad?: { readonly level: VerifyLevel; readonly at: string };
  /** The newest restore of the backup into a scratch database. */
  readonly drill?: { readonly verdict: Verdict; readonly at: string; readonly restoreMs?: number };
  /** Marked by retention: the first prune after `deleteAfter` deletes it, unless the policy keeps it again. */
  readonly marked?: { readonly at: string; readonly deleteAfter: string };
  /** Who holds the backup and why, one clause. It isn't deleted while somebody holds it. */
  readonly held?: string;
  /** Until then the store refuses to delete the backup's manifest. */
  readonly lockedUntil?: string;
  /**
   * Until then at least, everything that the backup needs is locked: as its manifest says, or until the manifest's own lock ends if that is earlier. Absent
   * where nothing is locked, and for backups older than this record.
   */
  readonly wholeLockedUntil?: string;
  /** `safety`: made before a restore overwrote the database. Default `plan`. */
  readonly kind?: 'plan' | 'safety';
  /** True: it lacks rows that could not be read. */
  readonly isIncomplete?: true;
  /** Why its verifications can't be read. If present, nobody knows whether the backup is good. */
  readonly problem?: string;
  /** For an export of a schedule's snapshot: the instants that it carries besides its own. */
  readonly history?: HistoryWindow;
  /** Other backups of the plan without which this one can't be restored. */
  readonly needs?: readonly string[];
}

/** The verification that found damage in a backup, where that stands. Catalogues of older versions tell only of the newest verification. */
export function damageIn({ lastBad, verified }: CatalogueEntry): { readonly at: string } | undefined {
  return lastBad ?? (verified?.verdict === 'FAILED' ? verified : undefined);
}

/** A plan's backups as its repository holds them at `readAt`. */
export interface Catalogue {
  readonly plan: string;
  /** Name of the repository in the plan file. */
  readonly repository: string;
  /** From `repository.json`; absent where no repository has been made there yet. */
  readonly repositoryId?: string;
  /** Newest instant first. If there are very many, only the newest; `total` says how many there are. */
  readonly entries: readonly CatalogueEntry[];
  /** Number of folders that hold no backup that could be restored: unfinished, discarded, damaged. */
  readonly unusable: number;
  /** Present where the plan locks what its backups need. */
  readonly locks?: true;
  /** Of the unusable folders, the damaged ones and those that no trusted key signed (at most 20), each with what is wrong. */
  readonly damaged?: readonly { readonly backup: string; readonly problem: string }[];
  /**
   * Present where the plan says that its repository is signed: how the register of backups and the existing backups differ (at most 20 sentences). Absent:
   * nothing is signed.
   */
  readonly signed?: { readonly problems: readonly string[] };
  readonly total: number;
  readonly readAt: string;
}

/** Something that can bring instants back. Backups give single instants. Every other kind gives ranges, of which each instant can be reached. */
export type RecoverySource =
  | {
      readonly kind: 'backups';
      readonly entries: readonly CatalogueEntry[];
      /** How many backups there are, where `entries` holds only the newest. */
      readonly total?: number;
    }
  | {
      /** An in-cluster snapshot schedule. `rewind` brings the database itself back; `clone` makes another one. */
      readonly kind: 'snapshot-schedule';
      readonly schedule: string;
      readonly ways: readonly ('rewind' | 'clone')[];
      readonly windows: readonly InstantRange[];
      /** Why some of the ways can't be taken at present. */
      readonly limits?: readonly InClusterLimit[];
    }
  | {
      /** Changes that were archived since a backup. A restore restores the backup and then replays them. */
      readonly kind: 'archive';
      readonly base: CatalogueEntry;
      readonly windows: readonly InstantRange[];
      /** By the databases of the base. */
      readonly chains: Readonly<Record<string, ArchiveChain>>;
      /** Why no changes lead on from this base, a clause. `windows` and `chains` are then empty. */
      readonly passedOver?: string;
      /** Up to here, proofs have replayed everything since the base and found it right. Absent: nothing is proved. */
      readonly provedTo?: string;
      /** Holes of the plan's archive, whatever the base. So only the plan's first source of this kind has them. */
      readonly holes?: readonly ArchiveGap[];
    };

/** A stretch of time of which an archive of changes can't restore any instant. */
export interface ArchiveGap {
  readonly from: string;
  /** Absent: the gap still lasts. */
  readonly to?: string;
  /** A sentence that begins with the database. */
  readonly reason: string;
}

/** Why the universe can't rewind or clone a database, as far as the universe could be asked. */
export interface InClusterLimit {
  readonly ways: readonly ('rewind' | 'clone')[];
  /** True: a request with `breakOthers` may go this way nevertheless. */
  readonly breaksOthers?: boolean;
  /** A clause that completes "… is passed over: ". */
  readonly reason: string;
  readonly remedy: string;
}

/** All instants from one to another, both included. */
export interface InstantRange {
  readonly from: string;
  readonly to: string;
}

/** A request as a person types it: JSON of this shape. Every member may be left out. */
export interface RecoveryRequest {
  /** ISO 8601 with a zone, or a time before now such as `-15m`. */
  readonly to?: string;
  /** Restore this backup and no other. */
  readonly backup?: string;
  /** `exact`, the default: the data of `to`, or a refusal. `before`: if `to` can't be reached, the newest instant before it. */
  readonly nearest?: 'before' | 'exact';
  /** True: only backups that a verification found good are used. */
  readonly verified?: boolean;
  /** The new name, or new names by database. */
  readonly into?: Readonly<Record<string, string>> | string;
  readonly tables?: readonly string[];
  readonly replace?: boolean;
  readonly reason?: string;
  readonly requestId?: string;
  readonly safetyBackup?: boolean;
  /** True: what the server refuses is left out and listed. Default: all or nothing. */
  readonly tolerate?: boolean;
  /** With `tolerate`. True: a database that lacks something still gets its final name. */
  readonly takeName?: boolean;
  /** Engine ysql: the role that will own everything. Default: the plan's `restore.owner`. */
  readonly owner?: string;
  /** `required`: a person must approve the restore, whatever the plan says and even if it overwrites nothing. Absent: as the plan says. */
  readonly approval?: 'required';
  /** With `replace`. True: the restore goes ahead even if it breaks xCluster replication or readers of changes. */
  readonly breakOthers?: boolean;
}

/** How long one restore of the plan took. */
export interface RestoreMeasurement {
  /** COPY text. */
  readonly bytes: number;
  readonly durationMs: number;
}

/** What a restore costs. */
export interface RecoveryCost {
  readonly storedBytes: number;
  readonly bytes: number;
  /** Null where rows were not counted. */
  readonly rows: number | null;
  /** Absent where no restore of the plan has been measured yet. */
  readonly estimatedMs?: number;
  /** What the estimate rests on, one clause. */
  readonly basis: string;
}

/** How much of an archive a restore reads. */
export interface ArchiveCost {
  readonly segments: number;
  readonly storedBytes: number;
}

/** What an overwriting restore would throw away: every change since the instant. */
interface RecoveryLoss {
  readonly from: string;
  readonly to: string;
  readonly durationMs: number;
}

interface Reached {
  readonly kind: 'restore';
  /** The instant whose data the restore gives. */
  readonly instant: string;
  readonly lost: RecoveryLoss;
  /** One sentence. */
  readonly why: string;
  /** What else the operator should know (never verified, marked for deletion, passed over …), one sentence each. */
  readonly notes: readonly string[];
}

export type RecoveryDecision =
  | (Reached & { readonly way: 'backup'; readonly backup: string; readonly cost: RecoveryCost })
  | (Reached & {
      readonly way: 'archive';
      readonly backup: string;
      /** The cost of the backup alone; `archive` says what is fetched besides. */
      readonly cost: RecoveryCost;
      readonly archive: ArchiveCost;
      readonly replay: ReplayWish;
    })
  | (Reached & { readonly way: 'rewind' | 'clone'; readonly schedule: string })
  /** The backup's files, taken back to the instant by the history that they carry. */
  | (Reached & { readonly way: 'snapshot'; readonly backup: string; readonly cost: RecoveryCost })
  | RecoveryRefusal;

/** Why a request can't be met, and what can. */
export interface RecoveryRefusal {
  readonly kind: 'refused';
  readonly code: RefusalCode;
  readonly reason: string;
  readonly remedy: string;
  /** The nearest instants that can be reached, before and after the one that was asked for. */
  readonly before?: string;
  readonly after?: string;
  /** What was passed over, one sentence each. */
  readonly notes: readonly string[];
}

export type RefusalCode =
  /** The request is not of the documented shape, or contradicts itself. */
  | 'BAD_REQUEST'
  /** `to` is not an instant, e.g. a local time without a zone. */
  | 'BAD_INSTANT'
  | 'INSTANT_IN_FUTURE'
  /** The instant is before everything that can be reached. */
  | 'INSTANT_TOO_EARLY'
  /** The instant is between two that can be reached, or after the last one. */
  | 'INSTANT_NOT_EXACT'
  /** The history that a backup carries contains the instant, but the schema changed after it. */
  | 'INSTANT_BEFORE_DDL'
  /** There is nothing to restore from. */
  | 'NO_BACKUP'
  | 'BACKUP_NOT_FOUND';

/** All instants that a plan can be brought back to. */
export interface RecoveryWindow {
  /** Oldest first. */
  readonly instants: readonly { readonly at: string; readonly backup: string; readonly verified: boolean }[];
  /** Oldest first. */
  readonly ranges: readonly (InstantRange & { readonly way: 'rewind' | 'clone' | 'archive' | 'snapshot' })[];
  /** Stretches between ranges that can't be reached, where the reason is known. Oldest first; absent where there are none. */
  readonly holes?: readonly RecoveryHole[];
}

/** Instants that can't be reached. */
export interface RecoveryHole extends InstantRange {
  /** A clause. */
  readonly reason: string;
}
