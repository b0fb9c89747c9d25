import { globMatches, isGlob } from './glob.ts';
import type { NamePatterns } from './source.ts';

/** Which server a source is, and which of its databases a run touches. Decides whether two runs exclude each other. */
export interface SourceIdentity {
  /** A hash of engine and address. Equal for plans that name the same server. Reveals no secret. */
  readonly server: string;
  readonly databases: NamePatterns;
}

/** `together`: a run that only reads (a backup). `alone`: a run that overwrites. */
export type LockMode = 'together' | 'alone';

/** A run's request for the lock of a source. */
export interface LockRequest {
  /** Workflow id of the run. A run that is reset in the Temporal UI keeps it. */
  readonly holder: string;
  readonly mode: LockMode;
  readonly databases: NamePatterns;
  /** What the run is, for people: `backup 20261123T… of orders`. */
  readonly title: string;
  readonly since: string;
}

/** The rule: an overwriting run is alone on its databases; runs that only read go together. */
export function exclude(one: LockRequest, other: LockRequest): boolean {
  return (one.mode === 'alone' || other.mode === 'alone') && mayMeet(one.databases, other.databases);
}

/** Whether two runs may touch the same database. False only where their names rule that out. */
export function mayMeet(one: NamePatterns, other: NamePatterns): boolean {
  if (one.include.length === 0 || other.include.length === 0) return true;
  return one.include.some((a) => other.include.some((b) => patternsMeet(a, b)));
}

/** Two globs count as overlapping unless one is a plain name that the other doesn't match. */
function patternsMeet(one: string, other: string): boolean {
  if (!isGlob(one)) return globMatches(other, one);
  return !isGlob(other) ? globMatches(one, other) : true;
}
