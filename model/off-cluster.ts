import type { ScheduledSnapshot } from './carried-history.ts';
import type { NotifyTarget } from './notification.ts';
import type { Pipeline } from './pipeline.ts';

/** The input of a run that exports what a plan's snapshot schedule has made. */
export interface OffClusterInput {
  readonly plan: string;
  /** Of the exports: no hooks, copies and verifications. */
  readonly pipeline: Pipeline;
  /** Who is notified of an export that failed. */
  readonly notify?: readonly NotifyTarget[];
}

/** A schedule's own snapshot that is to be exported, and the id of the backup that it becomes. */
export interface PendingExport {
  readonly backup: string;
  readonly scheduled: ScheduledSnapshot;
}

export interface PendingExports {
  /** Oldest first; of very many the oldest. */
  readonly exports: readonly PendingExport[];
  /** Ids of snapshots that were tried too often. */
  readonly givenUp: readonly string[];
}

export interface OffClusterOutcome {
  readonly plan: string;
  /** Ids of the backups that were made. */
  readonly exported: readonly string[];
  readonly givenUp: readonly string[];
}
