import type { ArchivePolicy, ArchiveRequest, TimelineEnd } from '../model/archive.ts';
import type { ArchiveCheck, ArchiveLevel } from '../model/archive-check.ts';
import type { ProofVerdict, ProofWish } from '../model/archive-proof.ts';
import type { Act } from '../model/audit.ts';
import type {
  BackupRef,
  BackupSummary,
  ExportSummary,
  FillPlan,
  PostDataWork,
  ReadPoint,
  RestorePlan,
  RestoreRequest,
  RestoreSummary,
  SealInput,
  TaskSummary,
  UniverseRestorePlan,
  VerifyReport,
} from '../model/backup.ts';
import type { ScheduledSnapshot } from '../model/carried-history.ts';
import type { CheckAnswer, CheckInput } from '../model/doctor.ts';
import type { AssertionResult } from '../model/drill.ts';
import type { HttpRequest } from '../model/http-request.ts';
import type {
  InClusterChange,
  InClusterCheck,
  InClusterPolicy,
  InClusterRequest,
} from '../model/in-cluster.ts';
import type { MailRequest, NotifyTarget } from '../model/notification.ts';
import type { PendingExports } from '../model/off-cluster.ts';
import type {
  CompiledPlan,
  RepositorySpec,
  SecretRef,
  Source,
  UniverseLimits,
  UniverseSource,
  VerifyLevel,
  YsqlSource,
} from '../model/pipeline.ts';
import type { DeleteSummary, MarkSummary, OrphanSummary, PruneInput } from '../model/prune.ts';
import type { Catalogue, RecoveryDecision, RecoveryRequest, RestoreMeasurement } from '../model/recovery.ts';
import type { ReplayReport } from '../model/replay.ts';
import type { LockMode } from '../model/source-lock.ts';
import type { PlanSurvey, ScheduleChange } from '../model/survey.ts';
import type {
  FillBatch,
  FillSummary,
  NodeInspection,
  NodeReport,
  SaveSummary,
  TabletBatch,
  TabletFill,
  TabletName,
} from '../model/tablets.ts';
import type { Listing } from '../planning/discovery.ts';
import type { DesiredSchedule } from '../planning/schedules.ts';

/**
 * What workflows see of the side effects: names, inputs and results, as types only. Inputs and results go into Temporal's history, so they hold references and
 * counts, never a secret or a list of objects.
 */
export interface Activities {
  flush(input: { source: Source; waitMs: number }): Promise<{ waitedMs: number }>;

  /**
   * Opens a read point. Its epoch is `firstEpoch` plus the retries of this activity. If any session can name the instant again, returns the read point. If it
   * lasts only as long as a session (PostgreSQL), signals `readPointOpened` to the workflow and keeps the session, heartbeating, until it is cancelled; a retry
   * opens the next epoch. A universe's snapshots outlive a worker: a retry finds them again, and the epoch stays.
   */
  snapshot(input: {
    source: Source;
    firstEpoch: number;
    ref?: BackupRef;
    scheduled?: ScheduledSnapshot;
  }): Promise<ReadPoint>;

  export(input: { ref: BackupRef; source: Source; readPoint: ReadPoint }): Promise<ExportSummary>;

  upload(input: UploadInput): Promise<TaskSummary>;

  /** Reads the sequences, then writes the manifest (from here on the backup exists), then removes what the manifest doesn't name. */
  seal(input: SealInput): Promise<BackupSummary>;

  verify(input: { ref: BackupRef; level: Exclude<VerifyLevel, 'restore'> }): Promise<VerifyReport>;

  /** Checks the segments of the plan's archive of changes. */
  verifyArchive(input: {
    readonly repository: RepositorySpec;
    readonly plan: string;
    readonly level: ArchiveLevel;
  }): Promise<ArchiveCheck>;

  /** The next stretch of the plan's archive to prove, or why there is none. */
  planProof(input: {
    readonly repository: RepositorySpec;
    readonly plan: string;
  }): Promise<ProofWish | { readonly reason: string }>;

  /** Stores a proof, or a refutation, beside the segments of each database. */
  recordProof(input: {
    readonly repository: RepositorySpec;
    readonly plan: string;
    readonly wish: ProofWish;
    readonly verdict: ProofVerdict;
    readonly compared: string;
    readonly problems: readonly string[];
  }): Promise<void>;

  /** Puts the verdict of a scratch restore into the ledger. */
  recordVerification(input: { ref: BackupRef; report: VerifyReport }): Promise<void>;

  /**
   * What the repository holds of a plan, read from storage. If there are very many backups, only the newest, so that the result fits into history. Creates
   * nothing: for a repository that doesn't exist yet, the catalogue is empty and has no id.
   */
  catalogue(input: { repository: RepositorySpec; plan: string }): Promise<Catalogue>;

  copy(input: { ref: BackupRef; to: RepositorySpec }): Promise<{ objects: number; copiedBytes: number }>;

  sql(input: { source: Source; statement: string; database?: string }): Promise<void>;

  http(input: {
    request: HttpRequest;
    body: Readonly<Record<string, unknown>> | string;
  }): Promise<{ status: number }>;

  /** Sends an e-mail. Returns how many recipients the server took, and those that it refused. */
  mail(input: MailRequest): Promise<{ accepted: number; refused: readonly string[] }>;

  /** Removes what a backup without a manifest left in the repository. */
  cleanUp(input: { ref: BackupRef }): Promise<{ removedObjects: number }>;

  /** First phase of retention: marks backups that no rule keeps, and removes the marks of backups that a rule keeps again. */
  markBackups(input: PruneInput): Promise<MarkSummary>;

  /** Second phase: deletes marked backups that still no rule keeps, whose grace time is over, and that nobody reads. */
  deleteBackups(input: PruneInput): Promise<DeleteSummary>;

  /** Removes what interrupted backups and deletions left. */
  sweepOrphans(input: PruneInput): Promise<OrphanSummary>;

  /** Gives the lease back, so that the plan's next prune can begin at once. */
  endPrune(input: PruneInput): Promise<void>;

  planRestore(input: { request: RestoreRequest }): Promise<RestorePlan>;
  prepareRestore(input: { request: RestoreRequest }): Promise<void>;
  load(input: { request: RestoreRequest; task: number }): Promise<{ rows: number; bytes: number }>;
  postData(input: { request: RestoreRequest } & PostDataWork): Promise<void>;
  /** Replays the archived changes of one database; `database` is its name in the backup. */
  replay(input: { request: RestoreRequest; database: string }): Promise<ReplayReport>;
  finishRestore(input: { request: RestoreRequest }): Promise<RestoreSummary>;
  /** Removes the bookkeeping of a tolerant restore that left something out, whose database keeps its working name. */
  releaseRestore(input: { request: RestoreRequest }): Promise<void>;

  /** Runs one of the request's assertions, given by its index, on the restored copy. Only the verdict goes into history. */
  ask(input: { request: RestoreRequest; assertion: number }): Promise<AssertionResult>;

  /** Drops what the restore created. Returns what it could not drop, one sentence each; earlier workers return nothing. */
  discardRestore(input: {
    request: RestoreRequest;
  }): Promise<{ readonly stands: readonly string[] } | undefined>;

  /**
   * Drops the databases of the plan's scratch restores whose workflows are gone. Returns the restores, and what could not be dropped. Histories know this older
   * name.
   */
  clearRehearsals(input: {
    repository: RepositorySpec;
    plan: string;
    source: Source;
    connection?: SecretRef;
  }): Promise<{ readonly cleared: readonly string[]; readonly problems: readonly string[] }>;

  /** The tablets of one batch of a universe's work list, with the nodes that have them. */
  describeTablets(input: { ref: BackupRef; epoch: number; shard: number }): Promise<TabletBatch>;

  /** The present addresses of tablets, by tablet id. A tablet that is gone is missing from the result. */
  locateTablets(input: LocateInput): Promise<Readonly<Record<string, readonly string[]>>>;

  /** Deletes the snapshots that were begun in the universe for this backup. */
  releaseSnapshots(input: { ref: BackupRef; source: UniverseSource }): Promise<{ deleted: number }>;

  /** These are the stages of a universe's restore. Each of them may be called again. */
  planUniverseRestore(input: { request: RestoreRequest }): Promise<UniverseRestorePlan>;
  /**
   * Switches the load balancer and tablet splitting off, so that replicas stay where they are. Signals `universeQuiet` to its workflow
   * and stays, heartbeating, until it is cancelled or its workflow is gone. However it ends, it puts the load balancer back as it was.
   */
  keepUniverseQuiet(input: { request: RestoreRequest }): Promise<void>;
  /** Puts the load balancer back as it was before this restore. */
  endUniverseQuiet(input: { request: RestoreRequest }): Promise<void>;
  /** Creates roles and databases with their schemas, and imports the snapshots. */
  prepareUniverse(input: { request: RestoreRequest }): Promise<void>;
  /** Which files belong on which nodes now. */
  placeFills(input: { request: RestoreRequest; round: number }): Promise<FillPlan>;
  describeFill(input: { request: RestoreRequest; round: number; shard: number }): Promise<FillBatch>;
  /** Runs `restore_snapshot` and waits for its end. */
  restoreSnapshots(input: { request: RestoreRequest }): Promise<void>;
  finishUniverse(input: { request: RestoreRequest }): Promise<RestoreSummary>;
  /** Deletes the notes that the restore kept in the repository while it ran. */
  forgetRestore(input: { request: RestoreRequest }): Promise<void>;
  /** `stands` as in `discardRestore`; earlier workers returned nothing there. */
  discardUniverse(input: {
    request: RestoreRequest;
  }): Promise<{ left: readonly string[]; stands?: readonly string[] }>;

  /** The snapshots of the plan's own schedules that are not in the repository yet. Also notes whether the schema has changed. */
  pendingExports(input: {
    repository: RepositorySpec;
    plan: string;
    source: UniverseSource;
  }): Promise<PendingExports>;

  /** Brings the universe's snapshot schedules in line with the plan's policy. Without a policy it ends them. */
  reconcileInCluster(input: InClusterInput): Promise<readonly InClusterChange[]>;
  /** Refuses a request that can't succeed, before anything changes: no schedule, a name that is taken, active writers. */
  checkInCluster(input: { request: InClusterRequest }): Promise<InClusterCheck>;
  /** Takes a snapshot of the present state of each database. Returns the snapshot ids by database. */
  saveInCluster(input: { request: InClusterRequest }): Promise<Readonly<Record<string, string>>>;
  /** Rewinds or clones one of the databases and waits for the end. Returns notes for the operator; earlier workers return nothing. */
  goBackInCluster(input: {
    request: InClusterRequest;
    database: number;
  }): Promise<readonly string[] | undefined>;
  /** Returns what is left to do by hand. */
  choresInCluster(input: { request: InClusterRequest }): Promise<readonly string[]>;

  /**
   * Asks the lock of the source (workflow `sourceGate`) for a lease, and starts the lock if none runs. Returns the lock's workflow id. `claim` and `gate` are
   * older words that histories hold.
   */
  claimSource(input: LockInput): Promise<{ gate: string }>;

  /** What the repository and the schedules of a plan hold. */
  surveyPlan(input: {
    repository: RepositorySpec;
    plan: string;
    history?: UniverseSource;
  }): Promise<PlanSurvey>;

  /**
   * Decides a request for a restore from the present catalogue and, if the plan keeps one, from the universe's own `history`. Also returns the databases of the
   * chosen backup.
   */
  decideRestore(input: {
    repository: RepositorySpec;
    plan: string;
    history?: UniverseSource;
    request: RecoveryRequest;
    measurements: readonly RestoreMeasurement[];
  }): Promise<{ decision: RecoveryDecision; databases: readonly string[] }>;

  /** Brings a plan's schedules in line with what it wants. */
  reconcileSchedules(input: ReconcileInput): Promise<readonly ScheduleChange[]>;

  /** Adds what a person did to the log of the plan. Nothing where the repository doesn't exist yet. */
  recordAct(input: { repository: RepositorySpec; plan: string; act: Act }): Promise<void>;

  /** The databases that a plan's source matches. Empty where none does. */
  listDatabases(input: { source: YsqlSource }): Promise<Listing>;
  /** Applies a plan that another one found, and asks for its first backup. May be called again. Throws `PLAN_NAME_TAKEN` (permanent). */
  adoptPlan(input: AdoptInput): Promise<void>;

  /**
   * Which databases the plan wants archived, and which others still have an archive of the plan. While that can't be found out, slots that keep too much
   * are given up, also those of `known`, the databases of the last answer.
   */
  archiveDatabases(input: ArchiveInput & { readonly known?: readonly string[] }): Promise<{
    readonly wanted: readonly string[];
    readonly others: readonly string[];
  }>;
  /** Goes on with a database's timeline, or begins another. `reason` says why the previous one ended, if there was one. */
  openArchive(input: ArchiveRequest): Promise<{
    readonly timeline: string;
    readonly since: string;
    readonly reason?: string;
  }>;
  /** Stores a database's changes until its timeline ends, and returns why it ended. Its heartbeats say up to where changes are stored. */
  streamArchive(input: ArchiveRequest): Promise<TimelineEnd>;
  /** Drops the slot and the publication in the source, and ends the timeline. */
  closeArchive(input: ArchiveRequest): Promise<void>;
  /** Starts the plan's archive, or sends a running one what the plan now wants. Without `wanted` it ends the archive. */
  reconcileArchive(input: {
    readonly plan: string;
    readonly wanted?: ArchiveInput;
    readonly taskQueue: string;
  }): Promise<readonly ScheduleChange[]>;

  /** The states of runs, by their workflow ids, in the same order. */
  statesOfRuns(input: { workflowIds: readonly string[] }): Promise<readonly RunState[]>;

  /**
   * For `holdfast doctor`: checks what the plan's runs need from this worker, with its own programs, secrets and network. A fault is part of the answer; the
   * activity fails only when the worker can't answer. It writes only a probe into the repository, and for `schemaOf` a pin
   * and scratch databases.
   */
  check(input: CheckInput): Promise<CheckAnswer>;
}

/** What the agent of a tablet server does. It polls the task queue of its node (`model/task-queue.ts`). */
export interface NodeActivities {
  saveTablets(input: SaveTabletsInput): Promise<SaveSummary>;
  /** Reports which tablet server the agent belongs to, its free space, and why it can't fill tablets, if it can't. */
  inspectNode(input?: NodeInspection): Promise<NodeReport>;
  /** Puts files of a backup where the restored tablets look for them. */
  fillTablets(input: FillTabletsInput): Promise<FillSummary>;
  /** For `holdfast doctor`: checks the repository and the data directories from this agent. */
  checkNode(input: { repository: RepositorySpec }): Promise<CheckAnswer>;
  /** The tablets whose folders on this node are missing or incomplete. */
  unfilledTablets(input: Pick<FillTabletsInput, 'ref' | 'tablets' | 'server'>): Promise<readonly string[]>;
}

interface FillTabletsInput {
  readonly ref: BackupRef;
  readonly tablets: readonly TabletFill[];
  readonly limits: UniverseLimits;
  /** Bytes per second that this node may fetch. */
  readonly bytesPerSecond?: number;
  /** UUID of the tablet server that has the replicas. */
  readonly server?: string;
}

interface SaveTabletsInput {
  readonly ref: BackupRef;
  readonly epoch: number;
  /** Unique within the epoch. */
  readonly task: number;
  readonly tablets: readonly TabletName[];
  readonly limits: UniverseLimits;
  /** Bytes per second that this node may send. */
  readonly bytesPerSecond?: number;
  /** UUID of the tablet server that has the replicas, where the universe reports it. */
  readonly server?: string;
}

interface LocateInput {
  readonly ref: BackupRef;
  readonly source: UniverseSource;
  readonly tables: readonly string[];
  readonly tablets: readonly string[];
  /** The tablets' snapshots. If a snapshot is gone, its tablets aren't looked for. */
  readonly snapshots?: readonly string[];
}

/** A plan to be applied, as `holdfast apply` does it. */
export interface AdoptInput {
  readonly workflowId: string;
  /** State of the plan's entity, where it has to be started. */
  readonly state: object;
  readonly application: {
    readonly revision: { readonly plan: CompiledPlan; readonly taskQueue: string; readonly set: string };
    readonly after: number;
    readonly keepPauses: boolean;
    readonly newRepository?: boolean;
  };
  /** Id of a request for a backup. Absent: none is asked for. */
  readonly backup?: string;
}

/** Name of the update by which the entity of a plan is applied. */
export const APPLY_PLAN = 'applyPlan';

/** The input of a plan's archive of changes: what it archives, and to where. */
export interface ArchiveInput {
  readonly plan: string;
  readonly source: YsqlSource;
  readonly repository: RepositorySpec;
  readonly policy: ArchivePolicy;
  readonly notify?: readonly NotifyTarget[];
  readonly labels: Readonly<Record<string, string>>;
  /** A run goes on in a new one after so many events beside those of opening its databases. Default: 4,000; a test has fewer. */
  readonly historyEvents?: number;
}

export const archiveWorkflowId = (plan: string): string => `archive:${plan}`;

/** Names of the signals to an archive: how the plan wants it from now on, and that the plan wants it no more. */
export const ARCHIVE_WANTED = 'archiveWanted';
export const ARCHIVE_ENDED = 'archiveEnded';

interface InClusterInput {
  readonly repository: RepositorySpec;
  readonly plan: string;
  readonly source: UniverseSource;
  readonly policy?: InClusterPolicy;
}

/** The schedules that a plan wants, and how to write them. */
export interface ReconcileInput {
  readonly desired: readonly DesiredSchedule[];
  /** Ids of all schedules that the plan may have. A schedule that has such an id and isn't wanted is deleted. */
  readonly ids: readonly string[];
  readonly plan: string;
  readonly engine: string;
  readonly taskQueue: string;
  /** Why the whole plan is paused; absent: it isn't. */
  readonly paused?: string;
  /** True: a schedule that was paused by hand stays paused. */
  readonly keepPauses: boolean;
}

/** A run's request for a lease on a source. */
export interface LockInput {
  readonly source: Source;
  readonly holder: string;
  readonly mode: LockMode;
  readonly title: string;
  readonly since: string;
  /** Task queue of the lock, where it has to be started. */
  readonly taskQueue: string;
}

/** The state of a run by Temporal's account. */
export interface RunState {
  readonly workflowId: string;
  /** `unknown`: Temporal has never had such a run, or has forgotten it. */
  readonly status: 'running' | 'ended' | 'unknown';
  /** Temporal's word for how it ended: `COMPLETED`, `FAILED`, `TERMINATED` …. */
  readonly ending?: string;
}

interface UploadInput {
  readonly ref: BackupRef;
  readonly source: Source;
  readonly readPoint: ReadPoint;
  readonly shard: number;
  /** Index within the batch. */
  readonly task: number;
  readonly zstdLevel: number;
}

/** Name of the signal that announces an open read point; its argument is the `ReadPoint`. */
export const READ_POINT_OPENED = 'readPointOpened';

/** Name of the signal that says that a universe is quiet: replicas stay where they are, and tablets don't split. */
export const UNIVERSE_QUIET = 'universeQuiet';

/** Name of the signal that asks the lock of a source for a lease; its argument is a `LockRequest`. */
export const ENTER_SOURCE = 'enterSource';

export const sourceLockId = (server: string): string => `source:${server}`;
