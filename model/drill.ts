import type { ProofOutcome } from './archive-proof.ts';
import type { NotifyTarget } from './notification.ts';
import type { RepositorySpec, Schedule, SecretRef, Source } from './source.ts';
import type { Verdict } from './verdict.ts';

/** The value that an assertion expects. It is compared with the server's text by meaning: `3` equals `3.00`, and `true` equals `t`. */
export type Scalar = string | number | boolean | null;

export type Expectation =
  /** The answer is one row of one column, with this value. */
  | { readonly kind: 'value'; readonly value: Scalar }
  /** The answer is one row of one column, a number within these bounds (both included). */
  | { readonly kind: 'range'; readonly min?: number; readonly max?: number }
  /** The answer is these rows, in this order. */
  | { readonly kind: 'rows'; readonly rows: readonly (readonly Scalar[])[] };

/** A statement that runs read-only on the restored copy, and the answer that it must give. */
export interface Assertion {
  readonly name: string;
  readonly sql: string;
  /** Name of the database at the source. Absent: the backup's only or first one. */
  readonly database?: string;
  readonly expect: Expectation;
}

/** How a plan tests its restores: a drill restores a backup into scratch databases, compares them, runs assertions on them, and drops them. */
export interface DrillSpec {
  readonly schedule?: Schedule;
  readonly backup: 'latest' | 'random';
  /** `rows`: compares row counts of each table with the manifest. `content`: also compares a hash of every row. */
  readonly check: 'rows' | 'content';
  /** With `content`: how long the comparison of a database's indexes may take. Absent: ten minutes. */
  readonly indexCheckMs?: number;
  /** Where to restore. Absent: to the plan's own server. */
  readonly connection?: SecretRef;
  readonly assertions: readonly Assertion[];
  /**
   * Engine ysql: the role that will own what is restored. Absent: a superuser restores the original owners; any other role owns everything
   * itself.
   */
  readonly owner?: string;
  /** True: what the server refuses is left out and named, and the verdict is FAILED. Absent: the first refusal ends the drill. */
  readonly tolerate?: boolean;
  readonly parallelism: number;
  /** Longest time from start to verdict. */
  readonly timeoutMs: number;
}

/** How an assertion was answered. */
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

/** Input of the workflow `drill`. A Schedule carries it, so it names no backup and no time. */
export interface DrillInput {
  readonly plan: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly source: Source;
  readonly repository: RepositorySpec;
  readonly drill: DrillSpec;
  /** Drill this backup, whatever `drill.backup` says. */
  readonly backup?: string;
  readonly notify?: readonly NotifyTarget[];
  /** True: the plan archives changes, and each drill proves the changes since the last proof. */
  readonly archive?: boolean;
}

/** How a drill ended. In the ledger it is the report of a verification of level `restore`. */
export interface DrillOutcome {
  readonly plan: string;
  /** Absent where there was no backup to choose. */
  readonly backup?: string;
  readonly verdict: Verdict;
  readonly problems: readonly string[];
  readonly restoreMs?: number;
  /** What the verdict compared, a clause. Absent from an older worker. */
  readonly compared?: string;
  /** What could not be compared, a sentence each. */
  readonly notes?: readonly string[];
  readonly assertions: readonly AssertionResult[];
  /** What was found in the plan's archive of changes. `verdict` and `problems` include it. Absent where there was nothing to prove. */
  readonly proof?: ProofOutcome;
  readonly startedAt: string;
  readonly finishedAt: string;
}

/**
 * What scratch databases are for: a drill, a verification (called `rehearsal` in names of databases and workflow ids since the first version),
 * or `doctor`, which only tries a schema.
 */
export type ScratchPurpose = 'drill' | 'rehearsal' | 'doctor';

/**
 * The name of a scratch restore. A backup that selects databases by a pattern leaves out databases of such names (`isRestoreName` of engine
 * `ysql`). Pure.
 */
export const scratchName = (purpose: ScratchPurpose, now: Date): string =>
  `${purpose}_${now.getTime().toString(36)}`;

/** The name of the scratch restore at the end of its workflow's id; undefined for any other workflow. */
export function scratchNameIn(workflowId: string): string | undefined {
  return /:((?:drill|rehearsal|doctor)_[0-9a-z]+)$/.exec(workflowId)?.[1];
}

/** True for the name of a scratch restore of doctor. Pure. */
export const isDoctors = (name: string): boolean => name.startsWith('doctor_');
