import type { StoredSegment } from './archive.ts';

/** What a restore replays after its base backup. */
export interface ReplayWish {
  /** Restores what had committed by this instant, ISO 8601 in UTC with up to six digits of a second. */
  readonly to: string;
  /** Timeline of the archive by database of the backup. */
  readonly timelines: Readonly<Record<string, string>>;
  /**
   * For a proof: a later backup of the plan, whose instant is `to`. The restore replays what that backup's snapshots see, and then compares its
   * result with that backup, table by table. Only into scratch databases.
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
  /** The last transaction that was replayed, in words. Absent where the archive has none up to the instant. */
  readonly lastTaken?: string;
  /** The first transaction that was left out, in words. Absent where the archive has none after the instant. */
  readonly firstLeftOut?: string;
  /** Selected tables whose changes the archive doesn't have. They stay as the base has them. */
  readonly notArchived: readonly string[];
  readonly sequences: readonly {
    readonly schema: string;
    readonly name: string;
    readonly lastValue: string;
  }[];
}

/** The segments of one database that lead from its base to later instants. */
export interface ArchiveChain {
  readonly timeline: string;
  /** This and the next: the range of instants that can be reached, microseconds since 1970, both included. */
  readonly fromMicros: number;
  readonly toMicros: number;
  /** In order and without a gap. The first one begins well before the base. */
  readonly segments: readonly StoredSegment[];
}
