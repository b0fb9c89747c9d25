import { isoOfMicros, lsnOf } from '../../model/archive.ts';
import type { SnapshotPlace } from '../../model/backup.ts';
import type { Server } from './server/server.ts';
import { onlyRow, type Session } from './server/session.ts';

/** `pg_current_snapshot()` came with this version. */
const SINCE = 13;

/**
 * Begins to note where snapshots stand among the server's transactions, so that an archive of changes can go on exactly where a backup ends;
 * call before the first snapshot is taken. Undefined where the server can't report it: YugabyteDB, PostgreSQL before 13, a standby.
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
        // In the transaction of the exported snapshot, so that it is the same one.
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
