import { isoOfMicros, lsnOf } from '../../model/archive.ts';
import type { SnapshotPlace } from '../../model/backup.ts';
import type { Server } from './server/server.ts';
import { onlyRow, type Session } from './server/session.ts';

/** PostgreSQL has `pg_current_snapshot()` from this major version on. */
const SINCE = 13;

/**
 * Starts to record the position of snapshots among the server's transactions, so that a change archive can continue exactly where a backup
 * ends. Call it before the first snapshot is taken. Returns undefined where the server can't report the position: YugabyteDB, PostgreSQL
 * before 13, a standby.
 */
export async function beginPlacing(
  holders: readonly Session[],
  server: Server,
): Promise<{ end(): Promise<SnapshotPlace> } | undefined> {
  const [first] = holders;
  if (first === undefined || server.product !== 'postgresql' || server.major < SINCE) return undefined;
  const [start] = await first.query<{ position: string }>(
    'read the position in the WAL',
    `SELECT (pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::text AS position WHERE NOT pg_catalog.pg_is_in_recovery()`,
  );
  if (start === undefined) return undefined;
  return {
    async end() {
      const snapshotXids: Record<string, string> = {};
      let seenByMicros = 0;
      for (const holder of holders) {
        // This runs in the transaction of the exported snapshot, so it reads the same snapshot.
        const { xids, micros } = onlyRow(
          await holder.query<{ xids: string; micros: string }>(
            'read which transactions the snapshot sees',
            `SELECT pg_catalog.pg_current_snapshot()::text AS xids, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text AS micros`,
          ),
          'its snapshot',
        );
        snapshotXids[holder.database] = xids;
        seenByMicros = Math.max(seenByMicros, Number(micros));
      }
      return { snapshotXids, walLsn: lsnOf(BigInt(start.position)), seenBy: isoOfMicros(seenByMicros) };
    },
  };
}
