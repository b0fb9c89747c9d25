import { globMatches, isGlob } from './glob.ts';
import type { NamePatterns } from './source.ts';

/** Which server a source is, and which of its databases a run touches. Two runs are compared by it. */
export interface SourceIdentity {
  /** A hash of engine and address: equal for plans that name the same server. Holds no secret. */
  readonly server: string;
  readonly databases: NamePatterns;
}

/** `together`: a run that reads (backups). `alone`: one that overwrites. */
export type LockMode = 'together' | 'alone';

/** A run's request for the lock of a source. */
export interface LockRequest {
  /** The run, by its workflow id: a run that is reset in the Temporal UI stays the same one. */
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

/** Whether two runs may touch the same database. False only where the names rule it out. */
export function mayMeet(one: NamePatterns, other: NamePatterns): boolean {
  if (one.include.length === 0 || other.include.length === 0) return true;
  return one.include.some((a) => other.include.some((b) => patternsMeet(a, b)));
}

/** Two globs count as overlapping unless one of them is a plain name that the other doesn't match. */
function patternsMeet(one: string, other: string): boolean {
  if (!isGlob(one)) return globMatches(other, one);
  return !isGlob(other) ? globMatches(one, other) : true;
}
