import type { StoredSegment } from './archive.ts';

/** What a restore replays after its base. */
export interface ReplayWish {
  /** The instant, ISO 8601 in UTC with up to six digits of a second: what had committed by it is restored. */
  readonly to: string;
  /** Timeline of the archive by database of the backup. */
  readonly timelines: Readonly<Record<string, string>>;
  /**
   * For a proof: a later backup of the plan, whose instant `to` is. What its snapshots see is replayed, and the result is compared with it, table by
   * table. Only into scratch databases.
   */
  readonly proves?: string;
}

/** What a replay of one database did. */
export interface ReplayReport {
  readonly database: string;
  readonly timeline: string;
  readonly to: string;
  readonly segments: number;
  readonly transactions: number;
  readonly changes: number;
  /** The last transaction that is in, in words; absent where the archive has none up to the instant. */
  readonly lastTaken?: string;
  /** The first that is left out; absent where the archive has none after the instant. */
  readonly firstLeftOut?: string;
  /** Selected tables whose changes the archive doesn't have: they are as the base has them. */
  readonly notArchived: readonly string[];
  readonly sequences: readonly {
    readonly schema: string;
    readonly name: string;
    readonly lastValue: string;
  }[];
}

/** The segments of one database that lead from its base to the instants that it gives. */
export interface ArchiveChain {
  readonly timeline: string;
  /** This and the next: which instants can be reached, microseconds since 1970, both included. */
  readonly fromMicros: number;
  readonly toMicros: number;
  /** In order, without a gap, the first of them well before the base. */
  readonly segments: readonly StoredSegment[];
}
