import type { Audience } from './notification.ts';
import type { RepositorySpec, UniverseSource } from './source.ts';

/** Point-in-time recovery within the universe: its own snapshot schedules, as plans want them and as they are. */

/** What a plan wants of the universe: a snapshot each `intervalMs`, history for `retentionMs`. */
export interface InClusterPolicy {
  readonly intervalMs: number;
  readonly retentionMs: number;
  /** True: takes over a schedule that somebody else made for the database. */
  readonly adopt: boolean;
}

/** What a plan wants of history off the cluster: each snapshot of the schedule is exported. */
export interface OffClusterPolicy {
  /** Time between two snapshots, in whole minutes. */
  readonly everyMs: number;
  /** How far back the repository keeps every instant. */
  readonly retentionMs: number;
}

/** What was done to the snapshot schedule of one database or keyspace. */
export interface InClusterChange {
  /** `ysql.orders`, `ycql.metrics` */
  readonly namespace: string;
  readonly schedule: string;
  /** `released`: a schedule that had been taken over is given back to its maker. */
  readonly done: 'created' | 'adopted' | 'edited' | 'deleted' | 'released' | 'unchanged';
}

/**
 * The planner's choice to reach an instant by the universe's own history: for one database of the plan, or for several one after another.
 */
export interface InClusterRequest extends Audience {
  readonly plan: string;
  /** Id of the restore. */
  readonly restore: string;
  readonly way: 'rewind' | 'clone';
  /** ISO 8601 in UTC. */
  readonly instant: string;
  readonly source: UniverseSource;
  /** Which databases. `to` is the name of a clone; for a rewind it equals `from`. */
  readonly databases: readonly { readonly from: string; readonly to: string }[];
  /** True: a rewind goes ahead even if it breaks replication or readers of changes; the chores name them. */
  readonly breakOthers?: boolean;
  /** False: no snapshot is taken of what a rewind overwrites. */
  readonly safetySnapshot: boolean;
  /**
   * Where the record of a rewind is written (`repository/rewind-records.ts`). Absent in requests of older versions: their rewinds have no
   * record.
   */
  readonly repository?: RepositorySpec;
}

/** What was found before anything is changed. */
export interface InClusterCheck {
  /** What the request breaks, as it allows; one sentence each. */
  readonly broken: readonly string[];
}

/** How a database reached an instant without a backup. */
export interface InClusterSummary {
  readonly plan: string;
  readonly restore: string;
  readonly way: 'rewind' | 'clone';
  readonly instant: string;
  readonly databases: InClusterRequest['databases'];
  /** For a rewind: ids of the snapshots of what was there before, by database. The universe keeps them for three days. */
  readonly safetySnapshots: Readonly<Record<string, string>>;
  /** What is left to do by hand, one sentence each. */
  readonly chores: readonly string[];
  /** What else the operator should know, one sentence each. Absent: nothing. */
  readonly notes?: readonly string[];
}
