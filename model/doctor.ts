import type { ArchivePolicy } from './archive.ts';
import type { Check } from './check.ts';
import type { NotifyTarget } from './notification.ts';
import type { CompiledPlan } from './pipeline.ts';
import type { RepositorySpec, Source } from './source.ts';

/** The questions of `holdfast doctor` to workers, and their answers. Both go into Temporal's history, so they are small. */

/** How long a worker may try to create the newest backup's schema. Milliseconds. */
export const SCHEMA_TRIAL_AT_MOST_MS = 10 * 60_000;

/** The process that answers. */
export interface WorkerIdentity {
  /** As Temporal's own pages show it: `pid@host`. */
  readonly identity: string;
  readonly host: string;
  /** Version of Holdfast there. */
  readonly version: string;
}

/** What a worker does for a plan's runs and can therefore answer for: the work itself, the read points, or the prunes. */
type WorkerDuty = 'work' | 'read-points' | 'prune';

/** The question to one worker. */
export interface CheckInput {
  readonly duty: WorkerDuty;
  readonly repository: RepositorySpec;
  readonly source: Source;
  /** True: the plan has the universe keep history, so the worker checks that too. */
  readonly history: boolean;
  /** Present where the plan archives changes, so the worker checks that too. */
  readonly archive?: { readonly plan: string; readonly policy: ArchivePolicy };
  /** Identity of a worker that has already checked the source. If it is this one, it doesn't check again. */
  readonly answered?: string;
  /** The plan whose newest backup's schema is tried in scratch databases. Absent: none is tried, as for older commands. */
  readonly schemaOf?: string;
  /** The receivers of the plan's notifications. Absent: none is tried, as for older commands. */
  readonly notify?: readonly NotifyTarget[];
}

/** One worker's answer. */
export interface CheckAnswer {
  readonly worker: WorkerIdentity;
  readonly checks: readonly Check[];
  /** Addresses of the tablet servers whose agents can be asked. */
  readonly agents: readonly string[];
}

/** Input of the workflow `doctor`. */
export interface DoctorInput {
  /** Absent: an older command asks, and no schema is tried. */
  readonly plan?: string;
  readonly repository: RepositorySpec;
  readonly source: Source;
  readonly history: boolean;
  readonly archive?: { readonly plan: string; readonly policy: ArchivePolicy };
  /** The receivers of the plan's notifications. */
  readonly notify?: readonly NotifyTarget[];
  /** Further kinds of workers to ask, which poll queues beside the plan's own. */
  readonly beside: readonly Exclude<WorkerDuty, 'work'>[];
}

/** The answers of one task queue. Without `worker`, no worker took the question, and a check says so. */
export interface QueueAnswer {
  readonly queue: string;
  readonly worker?: WorkerIdentity;
  readonly checks: readonly Check[];
}

/** All answers. */
export interface DoctorReport {
  /** The plan's own queue first. */
  readonly answers: readonly QueueAnswer[];
}

/** What to check for the plan's archive of changes; undefined where the plan has none. */
export function archiveOf({
  name,
  pointTime,
}: Pick<CompiledPlan, 'name' | 'pointTime'>): Pick<DoctorInput, 'archive'> {
  const policy = pointTime?.archive;
  return policy === undefined ? {} : { archive: { plan: name, policy } };
}
