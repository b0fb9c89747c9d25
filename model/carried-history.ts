/**
 * What the snapshot of a universe carries of the past: `restore_snapshot` takes an instant within it. Only a schedule's own snapshots are known to carry
 * anything, since YugabyteDB keeps the history of rows back to the schedule's previous snapshot. Times are ISO 8601 in UTC with microseconds.
 */
export interface CarriedHistory {
  /** Id of the snapshot schedule. */
  readonly schedule: string;
  /** The instant of the schedule's previous snapshot: nothing before it can be counted on. */
  readonly from: string;
  /**
   * Since when the schema is known to have been as it was at the snapshot. Not after `from`: no change of the schema is known in all of the history.
   * Absent: it is not known at all, so that the snapshot's own instant alone can be restored.
   */
  readonly schemaSince?: string;
  /** True: the catalog version rose all the same, which ANALYZE does, and a table that was created and dropped again. */
  readonly catalogRose?: boolean;
}

/** Of a schedule's snapshot: what an export of it needs to know. */
export interface ScheduledSnapshot {
  readonly database: string;
  readonly api: 'ysql' | 'ycql';
  /** Id of the snapshot. */
  readonly snapshot: string;
  /** ISO 8601 in UTC with microseconds. */
  readonly takenAt: string;
  readonly history: CarriedHistory;
  /** YSQL: version of the catalogue at the last look before the snapshot; absent where nobody looked. */
  readonly catalogVersion?: string;
}

/** The window of a backup as the planner and a restore see it: whole milliseconds, since an instant that people write has no finer part. */
export interface HistoryWindow {
  /** Both ends included, ISO 8601 in UTC. */
  readonly from: string;
  readonly to: string;
  /** First instant from which the schema did not change any more; `to` where that is not known. */
  readonly safeFrom: string;
  readonly catalogRose?: boolean;
}

const MARK = '-history-';

/** The beginning that the ids of all exports of one scheduled snapshot share after their time: `20261130T031500Z-history-1f2e3d4c`. */
export function historyMark(snapshot: string): string {
  return `${MARK}${snapshot.replaceAll('-', '').slice(0, 12)}`;
}
