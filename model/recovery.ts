import type { Verdict } from './backup.ts';
import type { HistoryWindow } from './carried-history.ts';
import type { Contents, VerifyLevel } from './pipeline.ts';
import type { ArchiveChain, ReplayWish } from './replay.ts';

/** What can be restored, what is asked for, and what is decided. Times are ISO 8601 in UTC unless said otherwise. */

export interface CatalogueEntry {
  readonly backup: string;
  /** The read point: the instant whose data the backup holds. Order by this, never by name. */
  readonly instant: string;
  readonly completedAt: string;
  /** Null where they were not counted. */
  readonly rows: number | null;
  /** COPY text before compression. */
  readonly bytes: number;
  readonly storedBytes: number;
  /** How long the backup took. */
  readonly durationMs?: number;
  readonly contents: Contents;
  /** The newest verification, whatever it found. */
  readonly verified?: { readonly level: VerifyLevel; readonly verdict: Verdict; readonly at: string };
  /** The newest verification that found it good; absent where a later one found damage. */
  readonly lastGood?: { readonly level: VerifyLevel; readonly at: string };
  /** The newest restore of it into a scratch database. */
  readonly drill?: { readonly verdict: Verdict; readonly at: string; readonly restoreMs?: number };
  /** Retention, phase one: it is deleted by the first prune after `deleteAfter`, unless the policy keeps it again. */
  readonly marked?: { readonly at: string; readonly deleteAfter: string };
  /** It is not deleted while it is held: by whom and why, one clause. */
  readonly held?: string;
  /** The store refuses to delete its manifest before. */
  readonly lockedUntil?: string;
  /**
   * Everything that it needs is locked until then at least: what its manifest says of that, or the manifest's own lock where that ends before. Absent where
   * nothing is locked, and for backups from before that was written down.
   */
  readonly wholeLockedUntil?: string;
  /** `safety`: made before a restore overwrote the database. Default `plan`. */
  readonly kind?: 'plan' | 'safety';
  /** The reason why its verifications can't be read. Where it is set, nothing says whether the backup is good. */
  readonly problem?: string;
  /** Of an export of a schedule's own snapshot: the instants that it carries besides its own. */
  readonly history?: HistoryWindow;
  /** Backups of the plan that this one can't be restored without. */
  readonly needs?: readonly string[];
}

/** A plan's backups as its repository holds them at `readAt`. */
export interface Catalogue {
  readonly plan: string;
  /** Name of the repository in the plan file. */
  readonly repository: string;
  /** From `repository.json`; absent where no repository has been made there yet. */
  readonly repositoryId?: string;
  /** Newest instant first; of very many the newest, `total` says how many there are. */
  readonly entries: readonly CatalogueEntry[];
  /** Folders that hold no backup that could be restored: unfinished, discarded, damaged. */
  readonly unusable: number;
  /** The plan locks what its backups need. */
  readonly locks?: true;
  /** Of these the damaged ones, and those that no trusted key signed (at most 20), each with what is wrong. */
  readonly damaged?: readonly { readonly backup: string; readonly problem: string }[];
  /**
   * The plan says that its repository is signed: what the register of backups and the backups that are there say differently (at most 20 sentences).
   * Absent: nothing is signed.
   */
  readonly signed?: { readonly problems: readonly string[] };
  readonly total: number;
  readonly readAt: string;
}

/**
 * Something that can bring instants back. Backups are single instants; every other kind is a range, of which each instant can be
 * reached.
 */
export type RecoverySource =
  | {
      readonly kind: 'backups';
      readonly entries: readonly CatalogueEntry[];
      /** Where the entries are the newest of more. */
      readonly total?: number;
    }
  | {
      /** An in-cluster snapshot schedule: `rewind` brings the database itself back, `clone` makes another one. */
      readonly kind: 'snapshot-schedule';
      readonly schedule: string;
      readonly ways: readonly ('rewind' | 'clone')[];
      readonly windows: readonly InstantRange[];
      /** Why a way can't be taken at present. */
      readonly limits?: readonly InClusterLimit[];
    }
  | {
      /** Changes recorded since a backup: it is restored, then they are applied. */
      readonly kind: 'archive';
      readonly base: CatalogueEntry;
      readonly windows: readonly InstantRange[];
      /** By database of the base. */
      readonly chains: Readonly<Record<string, ArchiveChain>>;
      /** Why no chain leads from this base, a clause; `windows` and `chains` are empty then. */
      readonly passedOver?: string;
      /** Proofs have replayed everything from the base to here, and found it right. Absent: nothing is proved. */
      readonly provedTo?: string;
      /** Of the plan's archive, whatever the base, so that only its first source has them. */
      readonly holes?: readonly ArchiveGap[];
    };

/** A time of which an archive of changes can give no instant. */
export interface ArchiveGap {
  readonly from: string;
  /** Absent: it lasts. */
  readonly to?: string;
  /** A sentence that begins with the database. */
  readonly reason: string;
}

/** Why a database can't be rewound or cloned by its universe, as far as the universe can be asked. */
export interface InClusterLimit {
  readonly ways: readonly ('rewind' | 'clone')[];
  /** True: a request with `breakOthers` goes this way all the same. */
  readonly breaksOthers?: boolean;
  /** A clause that completes "… is passed over: ". */
  readonly reason: string;
  readonly remedy: string;
}

/** Both ends included. */
export interface InstantRange {
  readonly from: string;
  readonly to: string;
}

/** A request as a person types it: JSON of this shape, of which everything may be left out. */
export interface RecoveryRequest {
  /** ISO 8601 with a zone, or a time before now such as `-15m`. */
  readonly to?: string;
  /** This backup and no other. */
  readonly backup?: string;
  /** `exact`, the default: the data of `to` or a refusal. `before`: where `to` can't be reached, the newest instant before it. */
  readonly nearest?: 'before' | 'exact';
  /** True: backups that no verification found good are passed over. */
  readonly verified?: boolean;
  /** New name, or new name by database. */
  readonly into?: Readonly<Record<string, string>> | string;
  readonly tables?: readonly string[];
  readonly replace?: boolean;
  readonly reason?: string;
  readonly requestId?: string;
  readonly safetyBackup?: boolean;
  /** True: what the server refuses is left out and listed. Default: all or nothing. */
  readonly tolerate?: boolean;
  /** With `tolerate`. True: a database that lacks something still takes its final name. */
  readonly takeName?: boolean;
  /** Engine ysql: everything that is restored belongs to this role. Default: the plan's `restore.owner`. */
  readonly owner?: string;
  /** With `replace`: xCluster replication and readers of changes that this breaks are no reason to refuse it. */
  readonly breakOthers?: boolean;
}

/** How long restores of a plan took. */
export interface RestoreMeasurement {
  /** COPY text. */
  readonly bytes: number;
  readonly durationMs: number;
}

export interface RecoveryCost {
  readonly storedBytes: number;
  readonly bytes: number;
  /** Null where they were not counted. */
  readonly rows: number | null;
  /** Absent where no restore of the plan was measured yet. */
  readonly estimatedMs?: number;
  /** What the estimate rests on, one clause. */
  readonly basis: string;
}

/** What of an archive a restore reads. */
export interface ArchiveCost {
  readonly segments: number;
  readonly storedBytes: number;
}

/** What an overwriting restore would throw away: every change after the instant. */
interface RecoveryLoss {
  readonly from: string;
  readonly to: string;
  readonly durationMs: number;
}

interface Reached {
  readonly kind: 'restore';
  /** The instant whose data there will be. */
  readonly instant: string;
  readonly lost: RecoveryLoss;
  /** One sentence. */
  readonly why: string;
  /** What else to know: never verified, marked for deletion, passed over …; one sentence each. */
  readonly notes: readonly string[];
}

export type RecoveryDecision =
  | (Reached & { readonly way: 'backup'; readonly backup: string; readonly cost: RecoveryCost })
  | (Reached & {
      readonly way: 'archive';
      readonly backup: string;
      /** Of the backup; `archive` says what is fetched besides. */
      readonly cost: RecoveryCost;
      readonly archive: ArchiveCost;
      readonly replay: ReplayWish;
    })
  | (Reached & { readonly way: 'rewind' | 'clone'; readonly schedule: string })
  /** The backup's files, taken back to the instant by the history that they carry. */
  | (Reached & { readonly way: 'snapshot'; readonly backup: string; readonly cost: RecoveryCost })
  | RecoveryRefusal;

export interface RecoveryRefusal {
  readonly kind: 'refused';
  readonly code: RefusalCode;
  readonly reason: string;
  readonly remedy: string;
  /** The nearest instants that can be reached, on both sides of the one that was asked for. */
  readonly before?: string;
  readonly after?: string;
  /** What was passed over, one sentence each. */
  readonly notes: readonly string[];
}

export type RefusalCode =
  /** The request is not of the documented shape, or contradicts itself. */
  | 'BAD_REQUEST'
  /** `to` is no instant; a local time without a zone, say. */
  | 'BAD_INSTANT'
  | 'INSTANT_IN_FUTURE'
  /** Before everything that can be reached. */
  | 'INSTANT_TOO_EARLY'
  /** Between two instants that can be reached, or after the last. */
  | 'INSTANT_NOT_EXACT'
  /** The history that a backup carries has it, but the schema changed afterwards. */
  | 'INSTANT_BEFORE_DDL'
  /** There is nothing to restore from. */
  | 'NO_BACKUP'
  | 'BACKUP_NOT_FOUND';

/** All that a plan can be brought back to. */
export interface RecoveryWindow {
  /** Oldest first. */
  readonly instants: readonly { readonly at: string; readonly backup: string; readonly verified: boolean }[];
  /** Oldest first. */
  readonly ranges: readonly (InstantRange & { readonly way: 'rewind' | 'clone' | 'archive' | 'snapshot' })[];
  /** Instants between ranges that can't be reached, as far as the reason is known. Oldest first; absent where there are none. */
  readonly holes?: readonly RecoveryHole[];
}

export interface RecoveryHole extends InstantRange {
  /** A clause. */
  readonly reason: string;
}
