import type { ProofOutcome } from './archive-proof.ts';
import type { NotifyTarget } from './notification.ts';
import type { RepositorySpec, Schedule, SecretRef, Source } from './source.ts';
import type { Verdict } from './verdict.ts';

/** The value that an assertion expects. It is compared by its meaning in the server's text: `3` equals `3.00`, and `true` equals `t`. */
export type Scalar = string | number | boolean | null;

export type Expectation =
  /** One row of one column, equal to this. */
  | { readonly kind: 'value'; readonly value: Scalar }
  /** One row of one column, a number within closed bounds. */
  | { readonly kind: 'range'; readonly min?: number; readonly max?: number }
  /** These rows, in this order. */
  | { readonly kind: 'rows'; readonly rows: readonly (readonly Scalar[])[] };

/** A statement that is run on the restored copy, read-only, and what it must answer. */
export interface Assertion {
  readonly name: string;
  readonly sql: string;
  /** Of the backup, by its name at the source; absent, the backup's only or first one. */
  readonly database?: string;
  readonly expect: Expectation;
}

/** How a plan's restores are tested: a backup is restored into scratch databases, compared, checked by assertions, dropped. */
export interface DrillSpec {
  readonly schedule?: Schedule;
  readonly backup: 'latest' | 'random';
  /** `rows`: counts per table against the manifest; `content`: also a hash of every row. */
  readonly check: 'rows' | 'content';
  /** With `content`: how long the comparison of a database's indexes may take. Absent: ten minutes. */
  readonly indexCheckMs?: number;
  /** Where to restore; absent, the plan's own server. */
  readonly connection?: SecretRef;
  readonly assertions: readonly Assertion[];
  /** Engine ysql: what is restored belongs to this role. Absent: a superuser gives it to its owners, another role keeps it. */
  readonly owner?: string;
  /** True: what the server refuses is left out and named, and the verdict is FAILED. Absent: the first refusal ends the drill. */
  readonly tolerate?: boolean;
  readonly parallelism: number;
  /** Longest time from start to verdict. */
  readonly timeoutMs: number;
}

export interface AssertionResult {
  readonly name: string;
  /** `INCONCLUSIVE`: the statement could not be run, which says nothing about the data. */
  readonly verdict: Verdict;
  /** One sentence; absent when OK. */
  readonly problem?: string;
}

/** What a drill adds to the report of a verification of level `restore`. */
export interface DrillRecord {
  /** Time from the start of the restore to the end of its comparison with the manifest. Absent where it didn't get that far. */
  readonly restoreMs?: number;
  readonly assertions: readonly AssertionResult[];
}

/** Input of the workflow `drill`; what a Schedule carries, so it names no backup and no time. */
export interface DrillInput {
  readonly plan: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly source: Source;
  readonly repository: RepositorySpec;
  readonly drill: DrillSpec;
  /** This backup, whatever `drill.backup` says. */
  readonly backup?: string;
  readonly notify?: readonly NotifyTarget[];
  /** True: the plan archives changes, and each drill proves what came since the last proof. */
  readonly archive?: boolean;
}

/** How a drill ended. In the ledger it is the report of a verification of level `restore`. */
export interface DrillOutcome {
  readonly plan: string;
  /** Absent where there was none to choose. */
  readonly backup?: string;
  readonly verdict: Verdict;
  readonly problems: readonly string[];
  readonly restoreMs?: number;
  /** What the verdict compares, in a clause; absent: an older worker's. */
  readonly compared?: string;
  /** What could not be compared, a sentence each. */
  readonly notes?: readonly string[];
  readonly assertions: readonly AssertionResult[];
  /** What it found of the plan's archive of changes, which `verdict` and `problems` count; absent where there was nothing to prove. */
  readonly proof?: ProofOutcome;
  readonly startedAt: string;
  readonly finishedAt: string;
}

/**
 * What a restore into scratch databases is for: a drill, a verification (`rehearsal`, a name that databases and workflow ids have had since the
 * first version), or `doctor`, which tries a schema alone.
 */
export type ScratchPurpose = 'drill' | 'rehearsal' | 'doctor';

/** A name for a scratch restore. Databases of such names are left out by backups of a pattern (`isRestoreName` of engine `ysql`). Pure. */
export const scratchName = (purpose: ScratchPurpose, now: Date): string =>
  `${purpose}_${now.getTime().toString(36)}`;

/** The name of a scratch restore, at the end of its workflow's id; undefined for another workflow. */
export function scratchNameIn(workflowId: string): string | undefined {
  return /:((?:drill|rehearsal|doctor)_[0-9a-z]+)$/.exec(workflowId)?.[1];
}

/** True for the name of a trial of a schema. Pure. */
export const isDoctors = (name: string): boolean => name.startsWith('doctor_');
