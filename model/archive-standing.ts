import type { ArchiveHoleCode } from './archive.ts';

/** Where a plan's archive of changes stands for one database, as `status`, the page and the metrics show it. Times are ISO 8601 in UTC, by the source's clock. */
export interface ArchiveStanding {
  readonly database: string;
  /** The newest interval without a gap. */
  readonly from: string;
  /** What was committed later is not stored yet: a loss of the source would cost it. */
  readonly to: string;
  /** Up to where the newest interval was proved last; absent: no part of it is proved. */
  readonly provedTo?: string;
  /** True: it goes no further, since its last hole lasts. */
  readonly isEnded: boolean;
  readonly intervals: number;
  /** The newest holes (at most 5), the oldest of them first. */
  readonly holes: readonly {
    readonly from: string;
    /** Null: it lasts. */
    readonly to: string | null;
    /** Absent in what an older release wrote. */
    readonly code?: ArchiveHoleCode;
    readonly reason: string;
  }[];
  /** Of all holes. */
  readonly holesInAll: number;
}
