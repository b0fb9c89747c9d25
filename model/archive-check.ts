import type { Verdict } from './verdict.ts';

/**
 * What a verification found in a plan's archive of changes.
 *
 * - `exists`: the names of the segments follow each other without a gap, and parts of large transactions are there.
 * - `checksums`: each object's SHA-256 too, as the store tells it, or by a download where it can't.
 * - `content`: each segment is read, and its messages are compared with its header, its name and each other.
 */
export type ArchiveLevel = 'exists' | 'checksums' | 'content';

export interface ArchiveCheck {
  readonly plan: string;
  readonly level: ArchiveLevel;
  /** `INCONCLUSIVE`: the store could not be asked, or there was nothing to look at. */
  readonly verdict: Verdict;
  readonly segments: number;
  /** Of the segments that were read; at level `content` alone. */
  readonly transactions?: number;
  /** What was compared, in a clause. */
  readonly compared: string;
  /** The first problems (at most 100), each naming the segment or the positions. */
  readonly problems: readonly string[];
}
