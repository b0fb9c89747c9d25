import { defineQuery, defineSignal } from '@temporalio/workflow';
import { ARCHIVE_ENDED, ARCHIVE_WANTED, type ArchiveInput } from '../activities/contract.ts';

export const archiveWanted = defineSignal<[ArchiveInput]>(ARCHIVE_WANTED);
export const archiveEnded = defineSignal(ARCHIVE_ENDED);
export const archiveState = defineQuery<ArchiveState>('archiveState');

/** How one database is archived. */
export interface DatabaseState {
  readonly timeline: string;
  /** When its timeline began, ISO 8601. */
  readonly since: string;
  /** Why the previous timeline ended, if it ended in this run. */
  readonly failure?: string;
}

/** The state of a plan's archive: the result of its query. */
export interface ArchiveState {
  readonly plan: string;
  readonly databases: readonly (DatabaseState & { readonly database: string })[];
  /** What fails at present. */
  readonly failure?: string;
}

/** Streams have a task queue of their own, so that one never takes a slot from the chunks. */
export const archiveQueue = (taskQueue: string): string => `${taskQueue}.archive`;
