import type { FillPlan, UniverseRestorePlan } from '../model/backup.ts';
import type { CheckAnswer } from '../model/doctor.ts';
import type { Manifest } from '../model/manifest.ts';
import type { RepositorySpec, UniverseSource } from '../model/pipeline.ts';
import type {
  FillBatch,
  FillSummary,
  NodeInspection,
  NodeReport,
  SaveSummary,
  TabletBatch,
} from '../model/tablets.ts';
import type { BackupContext, Discarded, Engine, RestoreOutcome } from './engine.ts';
import type { FillRequest, UnfilledRequest } from './universe/agent/fill-tablets.ts';
import type { NodeSettings } from './universe/agent/node-agent.ts';
import type { SaveRequest } from './universe/agent/saving.ts';
import type { UniverseRestore } from './universe/restore/context.ts';

/**
 * The contract of an engine whose data are the database's own files: agents beside the servers move them, and workers say which. As
 * idempotent and as free of Temporal as `Engine`.
 */
export interface TabletEngine extends Engine<UniverseSource> {
  readonly kind: 'tablets';

  /** The tablets of one batch of the list that `listWork` wrote, with the nodes that have them. Throws `WORK_NO_SHARD` (permanent). */
  describeTablets(verb: BackupContext, epoch: number, batch: number): Promise<TabletBatch>;

  /**
   * Where tablets are now: addresses by tablet id. Leaves out a tablet that is gone. Throws `READ_POINT_LOST` (permanent) if a snapshot is gone.
   */
  locateTablets(verb: BackupContext, source: UniverseSource, wanted: WantedTablets): Promise<TabletPlaces>;

  /** Deletes the snapshots that were begun in the universe for this backup. */
  releaseSnapshots(verb: BackupContext, source: UniverseSource): Promise<{ readonly deleted: number }>;

  /** Makes the agent of one tablet server. An agent remembers between tasks what it has sent, so a process makes one for each server. */
  agentOf(settings: NodeSettings): TabletAgent;

  readonly restore: TabletRestore;
}

/** The tablets that `locateTablets` is asked for, with the tables and snapshots that they belong to. All are ids. */
export interface WantedTablets {
  readonly tables: readonly string[];
  readonly tablets: readonly string[];
  /** The snapshots that the tablets belong to. Files of a snapshot that is gone can't be saved any more, so its tablets are not looked for. */
  readonly snapshots: readonly string[];
}

/** Addresses (`host:port`) of the tablet servers that have whole replicas, by tablet id. */
export type TabletPlaces = Readonly<Record<string, readonly string[]>>;

/**
 * The agent of one tablet server. Its errors name the node, even those of reading the manifest. Faults of the node's disks are transient: the run
 * waits until they are mended (`universe/agent/on-node.ts`).
 */
export interface TabletAgent {
  save(verb: BackupContext, request: SaveRequest): Promise<SaveSummary>;
  /** Puts files of a backup where the restored tablets look for them. */
  fill(
    verb: BackupContext,
    readManifest: () => Promise<Manifest>,
    request: FillRequest,
  ): Promise<FillSummary>;
  /** Which of the tablets don't have their whole folder on this node. */
  unfilled(
    verb: BackupContext,
    readManifest: () => Promise<Manifest>,
    request: UnfilledRequest,
  ): Promise<readonly string[]>;
  /** Reports which tablet server the agent's directories belong to, their free space, and what keeps the agent from filling tablets. */
  inspect(inspection: NodeInspection, signal: AbortSignal): Promise<NodeReport>;
  /** For `holdfast doctor`: checks the repository and the data directories as this agent reaches them. */
  check(repository: RepositorySpec, signal: AbortSignal): Promise<CheckAnswer>;
}

/**
 * The restore side. Order: plan, beQuiet (held to the end), prepare, then placeFills until all replicas are filled, restoreSnapshots,
 * finish, forget; `discard` on failure.
 */
export interface TabletRestore {
  /** Refuses what can be refused before anything is written. Throws `RESTORE_ENDED_BEFORE` (permanent). */
  plan(verb: UniverseRestore): Promise<UniverseRestorePlan>;
  /** Keeps replicas where they are and tablets whole until `release`. `lost` rejects if that can't be kept up. */
  beQuiet(verb: UniverseRestore): Promise<{ readonly lost: Promise<never>; release(): Promise<void> }>;
  /** Puts the load balancer back as it was before this restore. May be called any number of times. */
  endQuiet(verb: UniverseRestore): Promise<void>;
  /** Creates roles and databases with their schemas, and imports the snapshots. */
  prepare(verb: UniverseRestore): Promise<void>;
  /** Lists which files belong on which node now. `round` numbers the lists of one restore. */
  placeFills(verb: UniverseRestore, round: number): Promise<FillPlan>;
  describeFill(verb: UniverseRestore, round: number, batch: number): Promise<FillBatch>;
  /** Runs `restore_snapshot` and waits for its end. */
  restoreSnapshots(verb: UniverseRestore): Promise<void>;
  finish(verb: UniverseRestore): Promise<RestoreOutcome>;
  /** Deletes the notes that the restore kept while it ran. */
  forget(verb: UniverseRestore): Promise<void>;
  /** As `Engine.discard`. Keyspaces can't be dropped, so `left` names them. */
  discard(verb: UniverseRestore): Promise<Required<Discarded>>;
}
