import { defineQuery, defineSignal } from '@temporalio/workflow';
import { READ_POINT_OPENED } from '../activities/contract.ts';
import type { BackupRef, BackupSummary, ReadPoint, RestoreRequest, VerifyReport } from '../model/backup.ts';
import type { Pipeline, RetryPolicy, Source, VerifyLevel } from '../model/pipeline.ts';
import type { Progress, TransferProgress } from './progress.ts';

/** Inputs, results and messages of the workflows: all that a client needs to know of them. */

export interface BackupInput {
  readonly pipeline: Pipeline;
  readonly backup: string;
}

export interface BackupOutcome {
  readonly summary: BackupSummary;
  /** Verdicts of the pipeline's verify steps. */
  readonly verifications: readonly VerifyReport[];
  readonly epochs: number;
  readonly durationMs: number;
}

export interface VerifyInput {
  readonly ref: BackupRef;
  readonly level: VerifyLevel;
  /** Needed for level `restore`: where to rehearse. */
  readonly source: Source;
}

/** How the activities of a `transfer` child run: lanes, retry, timeout. */
export interface TransferOptions {
  readonly parallelism: number;
  readonly retry: RetryPolicy;
  readonly timeoutMs: number;
}

/** Reports of progress in one run's history, whatever its size: each costs its parent about four events. */
const REPORTS_PER_RUN = 50;

/** After how many tasks a `transfer` child reports, in a run of `tasks` tasks. */
export const reportInterval = (tasks: number): number => Math.max(1, Math.ceil(tasks / REPORTS_PER_RUN));

export type TransferInput = {
  readonly options: TransferOptions;
  readonly tasks: number;
  readonly reportEvery: number;
} & (
  | {
      readonly direction: 'upload';
      readonly ref: BackupRef;
      readonly source: Source;
      readonly readPoint: ReadPoint;
      readonly shard: number;
      readonly zstdLevel: number;
    }
  | { readonly direction: 'load'; readonly request: RestoreRequest; readonly firstTask: number }
);

export const readPointOpened = defineSignal<[ReadPoint]>(READ_POINT_OPENED);
/** A `transfer` child tells its parent how far it is. */
export const transferProgress = defineSignal<[TransferProgress]>('transferProgress');
export const progress = defineQuery<Progress>('progress');

/** Search attributes: at most six, registered at start-up (`worker/search-attributes.ts`). All of type Keyword. */
export const SEARCH_ATTRIBUTES = ['BackupPlan', 'BackupEngine', 'BackupPhase', 'BackupResult'] as const;

export const backupWorkflowId = (plan: string, backup: string): string => `backup:${plan}:${backup}`;
export const restoreWorkflowId = (plan: string, restore: string): string => `restore:${plan}:${restore}`;
export const verifyWorkflowId = (plan: string, backup: string, level: VerifyLevel): string =>
  `verify:${plan}:${backup}:${level}`;

/** Read points have a task queue of their own, so that holding one never takes a lane from the chunks. */
export const readPointQueue = (taskQueue: string): string => `${taskQueue}.read-points`;
