/**
 * The past that a snapshot of a universe carries: `restore_snapshot` accepts any instant within it. Only a schedule's own snapshots are known to carry
 * any, since YugabyteDB keeps the history of rows back to the schedule's previous snapshot. Times are ISO 8601 in UTC with microseconds.
 */
export interface CarriedHistory {
  /** Id of the snapshot schedule. */
  readonly schedule: string;
  /** The instant of the schedule's previous snapshot. Older history may be gone. */
  readonly from: string;
  /**
   * Since when the schema is known to have been as it was at the snapshot. Not after `from`: the whole history is known to have that schema. Absent:
   * that isn't known, so only the snapshot's own instant can be restored.
   */
  readonly schemaSince?: string;
  /** True: the catalog version has risen nevertheless. ANALYZE does that, and so does a table that was created and dropped again. */
  readonly catalogRose?: boolean;
}

/** What an export needs to know of a snapshot that a schedule took. */
export interface ScheduledSnapshot {
  readonly database: string;
  readonly api: 'ysql' | 'ycql';
  /** Id of the snapshot. */
  readonly snapshot: string;
  /** ISO 8601 in UTC with microseconds. */
  readonly takenAt: string;
  readonly history: CarriedHistory;
  /** YSQL: version of the catalog at the last look before the snapshot. Absent where nobody looked. */
  readonly catalogVersion?: string;
}

/** The history of a backup as the planner and a restore see it. Whole milliseconds, since people can't ask for a finer instant. */
export interface HistoryWindow {
  /** Both ends included, ISO 8601 in UTC. */
  readonly from: string;
  readonly to: string;
  /** First instant after the last change of the schema; `to` where that isn't known. */
  readonly safeFrom: string;
  readonly catalogRose?: boolean;
}

const MARK = '-history-';

/** The text after the time in the ids of all exports of one scheduled snapshot: `-history-1f2e3d4c` in `20261130T031500Z-history-1f2e3d4c`. */
export function historyMark(snapshot: string): string {
  return `${MARK}${snapshot.replaceAll('-', '').slice(0, 12)}`;
}
