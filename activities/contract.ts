import type {
  BackupRef,
  BackupSummary,
  ExportSummary,
  ReadPoint,
  RestorePlan,
  RestoreRequest,
  RestoreSummary,
  TaskSummary,
  VerifyReport,
} from '../model/backup.ts';
import type { HttpOptions, RepositorySpec, Source, VerifyLevel } from '../model/pipeline.ts';
import type { DeleteSummary, MarkSummary, OrphanSummary, PruneInput } from '../model/prune.ts';
import type { Catalogue } from '../model/recovery.ts';
import type { ClaimMode } from '../model/source-claim.ts';

/**
 * What workflows see of the side effects: names, inputs and results, by type alone. Inputs and results go into Temporal's
 * history, so they are references and counts; no secret, no list of objects.
 */
export interface Activities {
  flush(input: { source: Source; waitMs: number }): Promise<{ waitedMs: number }>;

  /**
   * Pins a read point; its epoch is `firstEpoch` plus the retries of this activity. Where the instant can be named again by anyone, returns it. Where it lives
   * only as long as a session (PostgreSQL), signals `readPointOpened` to its workflow and stays, heartbeating, until it
   * is cancelled; a retry opens the next epoch.
   */
  snapshot(input: { source: Source; firstEpoch: number }): Promise<ReadPoint>;

  export(input: { ref: BackupRef; source: Source; readPoint: ReadPoint }): Promise<ExportSummary>;

  upload(input: UploadInput): Promise<TaskSummary>;

  /** Sequences, then the manifest (the backup exists from here on), then what the manifest doesn't name is removed. */
  seal(input: SealInput): Promise<BackupSummary>;

  verify(input: { ref: BackupRef; level: Exclude<VerifyLevel, 'restore'> }): Promise<VerifyReport>;

  /** Puts the verdict of a restore rehearsal into the ledger. */
  recordVerification(input: { ref: BackupRef; report: VerifyReport }): Promise<void>;

  /**
   * What the repository holds of a plan, read from storage. For history: the newest backups where there are very many.
   * Makes nothing: a repository that isn't there yet is an empty catalogue without an id.
   */
  catalogue(input: { repository: RepositorySpec; plan: string }): Promise<Catalogue>;

  copy(input: { ref: BackupRef; to: RepositorySpec }): Promise<{ objects: number; copiedBytes: number }>;

  sql(input: { source: Source; statement: string; database?: string }): Promise<void>;

  http(input: { request: HttpOptions; body: Readonly<Record<string, unknown>> }): Promise<{ status: number }>;

  /** Removes what a backup that has no manifest left in the repository. */
  cleanUp(input: { ref: BackupRef }): Promise<{ removedObjects: number }>;

  /** Phase one of retention: marks what no rule keeps, and takes marks away from what one keeps again. */
  markBackups(input: PruneInput): Promise<MarkSummary>;

  /** Phase two: deletes what was marked and is still dropped, its grace time over, and not being read. */
  deleteBackups(input: PruneInput): Promise<DeleteSummary>;

  /** Removes what interrupted backups and deletions left. */
  sweepOrphans(input: PruneInput): Promise<OrphanSummary>;

  /** Lets the next prune of the plan begin at once. */
  endPrune(input: PruneInput): Promise<void>;

  planRestore(input: { request: RestoreRequest }): Promise<RestorePlan>;
  prepareRestore(input: { request: RestoreRequest }): Promise<void>;
  load(input: { request: RestoreRequest; task: number }): Promise<{ rows: number; bytes: number }>;
  postData(input: { request: RestoreRequest; wave: number; unit: number }): Promise<void>;
  finishRestore(input: { request: RestoreRequest }): Promise<RestoreSummary>;
  discardRestore(input: { request: RestoreRequest }): Promise<void>;

  /** Asks the gate of the source (workflow `sourceGate`, started where there is none) to let a run in. Returns the gate's id. */
  claimSource(input: ClaimInput): Promise<{ gate: string }>;

  /** How runs stand, by their workflow ids, in the same order. */
  statesOfRuns(input: { workflowIds: readonly string[] }): Promise<readonly RunState[]>;
}

export interface ClaimInput {
  readonly source: Source;
  readonly holder: string;
  readonly mode: ClaimMode;
  readonly title: string;
  readonly since: string;
  /** For a gate that has to be started. */
  readonly taskQueue: string;
}

export interface RunState {
  readonly workflowId: string;
  /** `unknown`: Temporal has no such run, or forgot it. */
  readonly status: 'running' | 'ended' | 'unknown';
  /** Temporal's word for how it ended: `COMPLETED`, `FAILED`, `TERMINATED` …. */
  readonly ending?: string;
}

export interface UploadInput {
  readonly ref: BackupRef;
  readonly source: Source;
  readonly readPoint: ReadPoint;
  readonly shard: number;
  /** Index within the shard. */
  readonly task: number;
  readonly zstdLevel: number;
}

export interface SealInput {
  readonly ref: BackupRef;
  readonly source: Source;
  readonly readPoint: ReadPoint;
  readonly pipelineHash: string;
  readonly startedAt: string;
}

/** Name of the signal by which a held read point is announced; its argument is the `ReadPoint`. */
export const READ_POINT_OPENED = 'readPointOpened';

/** Name of the signal that asks a gate to let a run in; its argument is a `SourceClaim`. */
export const ENTER_SOURCE = 'enterSource';

export const sourceGateId = (server: string): string => `source:${server}`;
