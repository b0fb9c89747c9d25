import type { ArchivePolicy } from './archive.ts';
import type { Check } from './check.ts';
import type { CompiledPlan } from './pipeline.ts';
import type { RepositorySpec, Source } from './source.ts';

/** What `holdfast doctor` has its workers look at, and what they answer. Kept small: it goes into Temporal's history. */

/** How long a worker tries to make the newest backup's schema. Milliseconds. */
export const SCHEMA_TRIAL_AT_MOST_MS = 10 * 60_000;

/** The process that answers. */
export interface WorkerIdentity {
  /** As Temporal's own pages show it: `pid@host`. */
  readonly identity: string;
  readonly host: string;
  /** Version of Holdfast there. */
  readonly version: string;
}

/** What a worker does for a plan's runs, and so can answer for: the work itself, the read points, or the prunes. */
type WorkerDuty = 'work' | 'read-points' | 'prune';

export interface CheckInput {
  readonly duty: WorkerDuty;
  readonly repository: RepositorySpec;
  readonly source: Source;
  /** The plan has the universe keep history, so that is looked at too. */
  readonly history: boolean;
  /** The plan archives changes, so what that needs is looked at too. */
  readonly archive?: { readonly plan: string; readonly policy: ArchivePolicy };
  /** Identity of a worker that has already looked at the source, and need not do so again. */
  readonly answered?: string;
  /** The plan whose newest backup's schema is tried in scratch databases. Absent: none is, as for commands that didn't know of it. */
  readonly schemaOf?: string;
}

export interface CheckAnswer {
  readonly worker: WorkerIdentity;
  readonly checks: readonly Check[];
  /** Tablet servers whose agents can be asked themselves. */
  readonly agents: readonly string[];
}

export interface DoctorInput {
  /** Absent: a command of an earlier version asks, and no schema is tried. */
  readonly plan?: string;
  readonly repository: RepositorySpec;
  readonly source: Source;
  readonly history: boolean;
  readonly archive?: { readonly plan: string; readonly policy: ArchivePolicy };
  /** Queues beside the plan's own that a worker polls. */
  readonly beside: readonly Exclude<WorkerDuty, 'work'>[];
}

/** What the workers of one task queue answered. Without `worker`, none took the question, and a check says so. */
export interface QueueAnswer {
  readonly queue: string;
  readonly worker?: WorkerIdentity;
  readonly checks: readonly Check[];
}

export interface DoctorReport {
  /** The plan's own queue first. */
  readonly answers: readonly QueueAnswer[];
}

/** What is to be looked at for the plan's archive of changes, if it has one. */
export function archiveOf({
  name,
  pointTime,
}: Pick<CompiledPlan, 'name' | 'pointTime'>): Pick<DoctorInput, 'archive'> {
  const policy = pointTime?.archive;
  return policy === undefined ? {} : { archive: { plan: name, policy } };
}
