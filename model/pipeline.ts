import type { ArchivePolicy } from './archive.ts';
import type { DrillSpec } from './drill.ts';
import type { InClusterPolicy, OffClusterPolicy } from './in-cluster.ts';
import type { NotifyTarget, Reach } from './notification.ts';
import type { RepositorySpec, Schedule, SecretRef, Source } from './source.ts';
import type { TransferWindow } from './transfer-window.ts';

/** Exported here too, since whoever reads a pipeline also reads what it works on. */
export type * from './source.ts';

/**
 * A compiled plan: frozen data that can be written as JSON. The compiler makes it and workflows interpret it. It never changes
 * while a backup runs, since a workflow receives it in its input and never recompiles.
 */

export type Verb = 'flush' | 'snapshot' | 'export' | 'upload' | 'verify' | 'copy' | 'sql' | 'http';

/** What one step gives to another. */
export type Artifact = 'readPoint' | 'workList' | 'backup';

/** How often and after which pauses a step's activities are retried. */
export interface RetryPolicy {
  /** 0 means without limit; the step's timeout still bounds it. */
  readonly maximumAttempts: number;
  readonly initialIntervalMs: number;
  readonly maximumIntervalMs: number;
  readonly backoffCoefficient: number;
}

export type VerifyLevel = 'exists' | 'checksums' | 'content' | 'restore';

interface StepBase<V extends Verb, Options> {
  readonly id: string;
  readonly verb: V;
  /** Ids of steps that must have ended before this one starts. */
  readonly needs: readonly string[];
  readonly when: 'success' | 'failure' | 'always';
  readonly retry: RetryPolicy;
  /** Longest time from schedule to close, all attempts together. */
  readonly timeoutMs: number;
  /** How many activities of this step run at once. */
  readonly parallelism: number;
  /** Which step gives each input, by its id. */
  readonly inputs: Readonly<Partial<Record<Artifact, string>>>;
  readonly output?: Artifact;
  readonly options: Options;
}

export type Step =
  | StepBase<'flush', { readonly waitMs: number }>
  | StepBase<'snapshot', Readonly<Record<string, never>>>
  | StepBase<'export', Readonly<Record<string, never>>>
  | StepBase<'upload', { readonly zstdLevel: number }>
  | StepBase<'verify', { readonly level: VerifyLevel; readonly owner?: string }>
  | StepBase<'copy', { readonly to: RepositorySpec }>
  | StepBase<'sql', { readonly statement: string; readonly database?: string }>
  | StepBase<'http', HttpOptions>;

/** Options of the verb `http`. */
export interface HttpOptions {
  /** The address may be a reference, since addresses of webhooks hold tokens. */
  readonly url: SecretRef | { readonly literal: string };
  readonly method: 'POST' | 'PUT' | 'GET';
  /** Absent: `loopback`. */
  readonly reach?: Reach;
}

export type StepOf<V extends Verb> = Extract<Step, { verb: V }>;

/** What a backup runs: the compiled form of a plan. */
export interface Pipeline {
  readonly formatVersion: 1;
  readonly plan: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly source: Source;
  readonly repository: RepositorySpec;
  /** Ordered so that each step comes after the steps that it needs. */
  readonly steps: readonly Step[];
  /** SHA-256 (hex) of the canonical JSON of everything above. */
  readonly hash: string;
}

/** Which backups a plan keeps. */
export interface Retention {
  readonly keepLast?: number;
  readonly keepHourly?: number;
  readonly keepDaily?: number;
  readonly keepWeekly?: number;
  readonly keepMonthly?: number;
  readonly keepYearly?: number;
  readonly keepWithinMs?: number;
  /** At least this many sound backups stay, the newest ones. */
  readonly minCount?: number;
  /** A backup younger than this stays. */
  readonly minAgeMs?: number;
  /** Time between the mark of a dropped backup and its deletion. Default: a day. */
  readonly graceMs?: number;
  /** IANA name of the zone whose days, weeks, months and years the rules mean. Default UTC. */
  readonly timezone?: string;
  /** When a prune starts by itself, in the same zone. Default: once a day, `planning/prune.ts`. */
  readonly cron?: readonly string[];
}

/** Recovery to any instant. */
export interface PointTime {
  readonly inCluster?: InClusterPolicy;
  readonly offCluster?: OffClusterPolicy;
  /** Only for a source `ysql`. */
  readonly archive?: ArchivePolicy;
}

/** A whole plan, compiled. */
export interface CompiledPlan {
  readonly name: string;
  readonly file: string;
  readonly pipeline: Pipeline;
  readonly schedule?: Schedule;
  readonly window?: TransferWindow;
  /** Of its runs among those of other plans on the same workers: 1 (first) to 5. Absent: Temporal's own, 3. */
  readonly priority?: number;
  readonly retention?: Retention;
  readonly pointTime?: PointTime;
  readonly drill?: DrillSpec;
  readonly notify?: readonly NotifyTarget[];
  readonly restore?: RestorePolicy;
  /** Present: each database that the source's patterns match becomes a plan of its own, and this plan makes no backup by itself. */
  readonly discover?: { readonly everyMs: number };
  /** Present: another plan found this one's database, and no file has this plan. */
  readonly discovered?: Discovered;
}

/** Where a plan comes from that no file has. */
export interface Discovered {
  /** Name of the plan with `discover`. */
  readonly by: string;
  readonly database: string;
  /** Since when the database is not there any more, ISO 8601. Nothing of the plan starts by itself, so that its backups stay. */
  readonly goneSince?: string;
}

/** What is required before a restore may overwrite something. Absent: approval is required, and a safety backup is made. */
export interface RestorePolicy {
  /** `two-people`: whoever asked can't approve. */
  readonly approval: 'required' | 'two-people' | 'none';
  readonly safetyBackup: boolean;
  /**
   * Engine ysql: the role that will own everything that is restored. Absent: objects get the owners that they had at the source.
   */
  readonly owner?: string;
}
