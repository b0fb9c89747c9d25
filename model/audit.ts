/** What people do to a plan and its backups that is recorded. A name is kept once it was written. */
export type AuditAction =
  | 'plan-applied'
  | 'plan-removed'
  | 'approve'
  | 'pause'
  | 'resume'
  | 'cancel'
  | 'restore'
  | 'hold'
  | 'release'
  | 'deletion-asked'
  | 'deletion-approved'
  | 'deletion-withdrawn'
  | 'repository-repaired'
  | 'repository-undone'
  | 'register-acknowledged'
  | 'keys-rewrapped';

/** Something that somebody did. */
export interface Act {
  readonly action: AuditAction;
  /** Who, as the process that did it knows: `alice@office`, or a job of continuous integration. Proves nothing by itself. */
  readonly by: string;
  /** To what: a backup, a request, a restore with its targets. */
  readonly subject?: string;
  readonly reason?: string;
}

/** An act as the log of a plan has it. */
export interface AuditEntry extends Act {
  readonly formatVersion: 1;
  readonly plan: string;
  /** From 1, without a gap. */
  readonly number: number;
  /** ISO 8601, by the clock of the process. */
  readonly at: string;
  /** SHA-256 of the entry before, as it is stored. Absent in the first one, and where the one before can't be read. */
  readonly before?: string;
}
