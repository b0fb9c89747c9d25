import { isoOfMicros, type Lsn, lsnOf } from '../../model/archive.ts';
import type { ReadPoint } from '../../model/backup.ts';
import { endOfInstant } from '../../model/hybrid-time.ts';

/** Where a backup stands among the transactions of an archive of changes. */
export interface BasePlace {
  readonly databases: readonly string[];
  /** ISO 8601 in UTC with microseconds, by the source's clock: what the backup holds had committed by then. */
  readonly seenBy: string;
  /** Everything that committed before this position is in the backup. Of a hybrid-time base, nothing else is. */
  readonly walLsn: Lsn;
  /**
   * By database: `xmin:xmax:xip,…` of the snapshot, which decides for any transaction of PostgreSQL. Absent for a backup that was read at a hybrid time
   * (YugabyteDB), where the position alone decides.
   */
  readonly snapshotXids?: Readonly<Record<string, string>>;
}

/**
 * Undefined where the backup doesn't say which transactions it holds.
 *
 * @param databases that the backup has
 */
export function basePlace(readPoint: ReadPoint, databases: readonly string[]): BasePlace | undefined {
  if (readPoint.kind === 'yb-read-time') {
    const micros = BigInt(readPoint.micros);
    return { databases, seenBy: isoOfMicros(Number(micros)), walLsn: lsnOf(endOfInstant(micros)) };
  }
  if (readPoint.kind !== 'pg-snapshot' || readPoint.place === undefined) return undefined;
  return { databases: Object.keys(readPoint.place.snapshotXids), ...readPoint.place };
}
