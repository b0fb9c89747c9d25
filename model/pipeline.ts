import type { ArchivePolicy } from './archive.ts';
import type { DrillSpec } from './drill.ts';
import type { InClusterPolicy, OffClusterPolicy } from './in-cluster.ts';
import type { NotifyTarget } from './notification.ts';
import type { RepositorySpec, Schedule, SecretRef, Source } from './source.ts';

/** A pipeline is read together with what it works on, so both are had here. */
export type * from './source.ts';

/**
 * A compiled plan: frozen, JSON-able data. The compiler makes it, workflows interpret it, and it never changes
 * while a backup runs (a workflow receives it in its input and never recompiles).
 */

export type Verb = 'flush' | 'snapshot' | 'export' | 'upload' | 'verify' | 'copy' | 'sql' | 'http';

/** What flows between steps. */
export type Artifact = 'readPoint' | 'workList' | 'backup';

export interface RetryPolicy {
  /** 0 means without limit (bounded by the step's timeout). */
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
  /** Which step gives each input. */
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

export interface HttpOptions {
  /** Webhook addresses hold tokens, so they may be a reference. */
  readonly url: SecretRef | { readonly literal: string };
  readonly method: 'POST' | 'PUT' | 'GET';
}

export type StepOf<V extends Verb> = Extract<Step, { verb: V }>;

export interface Pipeline {
  readonly formatVersion: 1;
  readonly plan: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly source: Source;
  readonly repository: RepositorySpec;
  /** In an order that satisfies `needs`. */
  readonly steps: readonly Step[];
  /** SHA-256 (hex) of the canonical JSON of everything above. */
  readonly hash: string;
}

export interface Retention {
  readonly keepLast?: number;
  readonly keepHourly?: number;
  readonly keepDaily?: number;
  readonly keepWeekly?: number;
  readonly keepMonthly?: number;
  readonly keepYearly?: number;
  readonly keepWithinMs?: number;
  /** At least so many sound backups stay, the newest ones. */
  readonly minCount?: number;
  /** Nothing younger than this is dropped. */
  readonly minAgeMs?: number;
  /** Time between the mark of a dropped backup and its deletion. Default: a day. */
  readonly graceMs?: number;
  /** IANA name, of the days, weeks, months and years that the rules speak of. Default UTC. */
  readonly timezone?: string;
  /** When a prune starts by itself, in the same zone. Default: once a day, `planning/prune-schedule.ts`. */
  readonly cron?: readonly string[];
}

/** Recovery to any instant. */
export interface PointTime {
  readonly inCluster?: InClusterPolicy;
  readonly offCluster?: OffClusterPolicy;
  /** Of a source `ysql`. */
  readonly archive?: ArchivePolicy;
}

export interface CompiledPlan {
  readonly name: string;
  readonly file: string;
  readonly pipeline: Pipeline;
  readonly schedule?: Schedule;
  readonly retention?: Retention;
  readonly pointTime?: PointTime;
  readonly drill?: DrillSpec;
  readonly notify?: readonly NotifyTarget[];
  readonly restore?: RestorePolicy;
}

/** What a restore that overwrites must pass. Absent: approval is required, and a safety backup is made. */
export interface RestorePolicy {
  readonly approval: 'required' | 'none';
  readonly safetyBackup: boolean;
  /** Engine ysql: everything that is restored belongs to this role. Absent: to its owner at the source. */
  readonly owner?: string;
}
