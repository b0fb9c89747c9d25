import { defineQuery, defineSignal } from '@temporalio/workflow';
import { ENTER_SOURCE, READ_POINT_OPENED, UNIVERSE_QUIET } from '../activities/contract.ts';
import type {
  BackupRef,
  BackupSummary,
  ReadPoint,
  RestoreRequest,
  RestoreSummary,
  TableUnit,
  VerifyReport,
} from '../model/backup.ts';
import type { ScheduledSnapshot } from '../model/carried-history.ts';
import type { Audience, NotifyTarget } from '../model/notification.ts';
import type { Pipeline, RetryPolicy, Source, VerifyLevel } from '../model/pipeline.ts';
import type { LockRequest } from '../model/source-lock.ts';
import type { TransferWindow } from '../model/transfer-window.ts';
import type { Progress, TransferProgress } from './progress.ts';

/** Inputs, results and messages of the workflows: all that a client needs to know of them. */

/** Input of the workflow `backup`. */
export interface BackupInput {
  readonly pipeline: Pipeline;
  /** Id of the backup. Absent where a schedule starts the run: the run then makes one. */
  readonly backup?: string;
  /** True: this is a safety backup, made under its parent's lease on the source. Histories hold the older name. */
  readonly hasTurn?: boolean;
  /** Receivers of notifications of the start and the end. */
  readonly notify?: readonly NotifyTarget[];
  /** Exports this snapshot, which the plan's snapshot schedule took. Absent: the backup takes a snapshot of its own. */
  readonly scheduled?: ScheduledSnapshot;
  /** When chunks or tablets may be begun. Absent: always. */
  readonly window?: TransferWindow;
}

/** Result of the workflow `backup`. */
export interface BackupOutcome {
  readonly summary: BackupSummary;
  /** Verdicts of the pipeline's verify steps. */
  readonly verifications: readonly VerifyReport[];
  readonly epochs: number;
  readonly durationMs: number;
}

/**
 * Workflows that a parent starts by name. A parent imports this type and not the workflow's file, since that file may import the
 * parent's: a restore makes a safety backup, and a backup may verify itself by a restore.
 */
export interface WorkflowsByName {
  backup(input: BackupInput): Promise<BackupOutcome>;
  restore(request: RestoreRequest): Promise<RestoreSummary>;
}

/** Details that the failure of a restore carries. */
export interface RestoreLeftovers {
  /** True: the restore had begun to write and could not drop what it wrote. */
  readonly leftBehind: boolean;
}

/** Input of the workflow `verify`. */
export interface VerifyInput extends Audience {
  readonly ref: BackupRef;
  /**
   * `schema`: tries whether the server accepts the schema, without rows. Only the command asks for this level, and its result
   * isn't recorded.
   */
  readonly level: VerifyLevel | 'schema';
  /** Where to restore, for level `restore`. */
  readonly source: Source;
  /** True: the run verifies the plan's archive of changes too, after the backup. Not with level `schema`. */
  readonly archive?: boolean;
}

/** How the activities of a transfer run: slots, retry, timeout. */
interface TransferOptions {
  readonly parallelism: number;
  readonly retry: RetryPolicy;
  readonly timeoutMs: number;
}

/** Most progress reports in one run, whatever its size. Each adds about four events to the parent's history. */
const REPORTS_PER_RUN = 50;

/** Shortest time between two reports. A report costs the parent, its worker and Temporal more than a small chunk does. */
const REPORT_INTERVAL_MS = 2_000;

/** How often a transfer reports its progress. */
interface ReportPace {
  /** Number of tasks between two reports. */
  readonly reportEvery: number;
  /** Absent in the histories of earlier versions, whose parents don't read a child's result. */
  readonly reportEveryMs?: number;
}

/** After how many tasks a child reports its progress, in a run that has `tasks` tasks. */
export const tasksPerReport = (tasks: number): number => Math.max(1, Math.ceil(tasks / REPORTS_PER_RUN));

/** The pace of a run of `tasks` tasks. */
export const reportPace = (tasks: number): ReportPace => ({
  reportEvery: tasksPerReport(tasks),
  reportEveryMs: REPORT_INTERVAL_MS,
});

export type TransferInput = ReportPace & {
  readonly options: TransferOptions;
  readonly tasks: number;
} & (
    | {
        readonly direction: 'upload';
        readonly ref: BackupRef;
        readonly source: Source;
        readonly readPoint: ReadPoint;
        readonly shard: number;
        readonly zstdLevel: number;
        /** Absent: tasks are begun at any time. */
        readonly window?: TransferWindow;
      }
    | {
        readonly direction: 'load';
        readonly request: RestoreRequest;
        readonly firstTask: number;
        readonly postData?: {
          /** Number of units in each wave. */
          readonly waves: readonly number[];
          /** All table units of the restore. This batch applies those that its own tasks make ready. */
          readonly units: readonly TableUnit[];
        };
      }
  );

/** Says that the load balancer of the universe is off and that tablets don't split. */
export const universeQuiet = defineSignal(UNIVERSE_QUIET);

export const readPointOpened = defineSignal<[ReadPoint]>(READ_POINT_OPENED);
/** A `transfer` child reports its progress to its parent. */
export const transferProgress = defineSignal<[TransferProgress]>('transferProgress');
/** The runs that hold a source and those that wait for it, in order of arrival. */
export interface LockState {
  readonly holders: readonly LockRequest[];
  readonly waiting: readonly LockRequest[];
}

export const enterSource = defineSignal<[LockRequest]>(ENTER_SOURCE);
/** A run has ended its work on the source; the argument is its workflow id. */
export const leaveSource = defineSignal<[string]>('leaveSource');
/** The lock notifies a run that it now holds the source. */
export const sourceEntered = defineSignal('sourceEntered');
export const lockState = defineQuery<LockState>('gateState');

export const progress = defineQuery<Progress>('progress');

/** Search attributes: at most six, registered at start-up (`worker/search-attributes.ts`). All of type Keyword. */
export const SEARCH_ATTRIBUTES = ['BackupPlan', 'BackupEngine', 'BackupPhase', 'BackupResult'] as const;

export const backupWorkflowId = (plan: string, backup: string): string => `backup:${plan}:${backup}`;
export const restoreWorkflowId = (plan: string, restore: string): string => `restore:${plan}:${restore}`;
export const drillWorkflowId = (plan: string, drill: string): string => `drill:${plan}:${drill}`;
/** @param key distinguishes those that run at the same time */
export const doctorWorkflowId = (plan: string, key: string): string => `doctor:${plan}:${key}`;
export const verifyWorkflowId = (plan: string, backup: string, level: VerifyInput['level']): string =>
  `verify:${plan}:${backup}:${level}`;
/** One for each plan, so that no two of them prune at once. */
export const pruneWorkflowId = (plan: string): string => `prune:${plan}`;
