import type { DatabaseSnapshot } from './backup.ts';
import type { Manifest } from './manifest.ts';
import type { InstantRange } from './recovery.ts';

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
  readonly api: DatabaseSnapshot['api'];
  /** Id of the snapshot. */
  readonly snapshot: string;
  /** ISO 8601 in UTC with microseconds. */
  readonly takenAt: string;
  readonly history: CarriedHistory;
  /** YSQL: version of the catalogue at the last look before the snapshot; absent where nobody looked. */
  readonly catalogVersion?: string;
}

/** The window of a backup as the planner and a restore see it: whole milliseconds, since an instant that people write has no finer part. */
export interface HistoryWindow extends InstantRange {
  /** First instant from which the schema did not change any more; `to` where that is not known. */
  readonly safeFrom: string;
  readonly catalogRose?: boolean;
}

/** Undefined where the backup carries no history, or nothing of it is as long as a millisecond. */
export function windowOf({ readPoint }: Pick<Manifest, 'readPoint'>): HistoryWindow | undefined {
  if (readPoint.kind !== 'universe-snapshot') return undefined;
  const held = readPoint.databases.filter(({ snapshot }) => snapshot !== undefined);
  const windows = held.map(windowOfDatabase);
  const known = windows.filter((window) => window !== undefined);
  if (known.length === 0 || known.length < windows.length) return undefined;
  const from = Math.max(...known.map((window) => window.from));
  const to = Math.min(...known.map((window) => window.to));
  if (from > to) return undefined;
  const safeFrom = Math.min(to, Math.max(from, ...known.map((window) => window.safeFrom)));
  return {
    from: iso(from),
    to: iso(to),
    safeFrom: iso(safeFrom),
    ...(known.some(({ catalogRose }) => catalogRose) ? { catalogRose: true } : {}),
  };
}

function windowOfDatabase({ snapshotTime, history }: DatabaseSnapshot) {
  if (snapshotTime === undefined || history === undefined) return undefined;
  const to = Math.floor(millisecondsOf(snapshotTime));
  const from = Math.ceil(millisecondsOf(history.from));
  const { schemaSince, catalogRose = false } = history;
  const safeFrom = schemaSince === undefined ? to : Math.max(from, Math.ceil(millisecondsOf(schemaSince)));
  return { from, to, safeFrom, catalogRose };
}

/** Since 1970, with its fraction: `Date` drops what is finer than a millisecond. */
function millisecondsOf(time: string): number {
  const [, finer = ''] = /\.\d{3}(\d+)/.exec(time) ?? [];
  return Date.parse(time) + (finer === '' ? 0 : Number(`0.${finer}`));
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

const MARK = '-history-';

/** The beginning that the ids of all exports of one scheduled snapshot share after their time: `20261130T031500Z-history-1f2e3d4c`. */
export function historyMark(snapshot: string): string {
  return `${MARK}${snapshot.replaceAll('-', '').slice(0, 12)}`;
}

/** True of a backup that was made of a schedule's own snapshot. */
export function isHistoryBackup(backup: string): boolean {
  return backup.includes(MARK);
}
