import type { RepositorySpec, UniverseSource } from './source.ts';

/** Point-in-time recovery within the universe: its own snapshot schedules, as plans want them and as they are. */

/** What a plan wants of the universe: a snapshot each `intervalMs`, history for `retentionMs`. */
export interface InClusterPolicy {
  readonly intervalMs: number;
  readonly retentionMs: number;
  /** True: a schedule that somebody else made for the database is taken over. */
  readonly adopt: boolean;
}

/** What a plan wants of the history that leaves the cluster: each snapshot of a schedule is exported. */
export interface OffClusterPolicy {
  /** Between two snapshots; whole minutes. */
  readonly everyMs: number;
  /** How far back every instant is kept in the repository. */
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

/** The planner's choice to reach an instant by the universe's own history: for each database of the plan, at once or one after another. */
export interface InClusterRequest {
  readonly plan: string;
  /** Id of the restore. */
  readonly restore: string;
  readonly way: 'rewind' | 'clone';
  /** ISO 8601 in UTC. */
  readonly instant: string;
  readonly source: UniverseSource;
  /** Of a clone: `to` is its name; of a rewind it is `from`. */
  readonly databases: readonly { readonly from: string; readonly to: string }[];
  /** Of a rewind: replication and readers of changes that it breaks are no reason to refuse it; the chores name them. */
  readonly breakOthers?: boolean;
  /** False: what is overwritten isn't kept in a snapshot. */
  readonly safetySnapshot: boolean;
  /** Where a rewind's record lies (`repository/rewind-records.ts`); absent in requests of older versions, and a rewind then has none. */
  readonly repository?: RepositorySpec;
}

/** What was found before a way is gone. */
export interface InClusterCheck {
  /** What it breaks, as asked for; one sentence each. */
  readonly broken: readonly string[];
}

/** How a database reached an instant without a backup. */
export interface InClusterSummary {
  readonly plan: string;
  readonly restore: string;
  readonly way: 'rewind' | 'clone';
  readonly instant: string;
  readonly databases: InClusterRequest['databases'];
  /** Of a rewind: the snapshot of what was there before, by database; the universe keeps it for three days. */
  readonly safetySnapshots: Readonly<Record<string, string>>;
  /** What is left to do by hand, one sentence each. */
  readonly chores: readonly string[];
  /** What else is to be known of how it went, one sentence each; absent where there is nothing. */
  readonly notes?: readonly string[];
}
