import type { ScheduledSnapshot } from './carried-history.ts';
import type { NotifyTarget } from './notification.ts';
import type { Pipeline } from './pipeline.ts';

/** The input of a run that exports the snapshots of a plan's schedule. */
export interface OffClusterInput {
  readonly plan: string;
  /** The pipeline of the exports, without hooks, copies and verifications. */
  readonly pipeline: Pipeline;
  /** Who is notified when an export fails. */
  readonly notify?: readonly NotifyTarget[];
}

/** A schedule's snapshot that is to be exported, with the id that the backup will have. */
export interface PendingExport {
  readonly backup: string;
  readonly scheduled: ScheduledSnapshot;
}

/** What a search for snapshots to export found. */
export interface PendingExports {
  /** Oldest first. If there are very many, only the oldest. */
  readonly exports: readonly PendingExport[];
  /** Ids of snapshots whose export was tried too often. */
  readonly givenUp: readonly string[];
}

/** How a run that exports ended. */
export interface OffClusterOutcome {
  readonly plan: string;
  /** Ids of the backups that the run made. */
  readonly exported: readonly string[];
  readonly givenUp: readonly string[];
}
