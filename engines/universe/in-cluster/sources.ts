import type { InClusterLimit, RecoverySource } from '../../../model/recovery.ts';
import type { Session } from '../../ysql/server/session.ts';
import type { YbAdmin } from '../yb-admin/program.ts';
import { type NamedSchedule, namedSchedules } from './schedules.ts';

/**
 * The instants to which these databases and keyspaces can all be taken back by their snapshot schedules. Undefined if one of them has no schedule,
 * or no snapshot yet. `readAt` is approximately the universe's present.
 */
export async function scheduleSource(
  admin: YbAdmin,
  namespaces: readonly string[],
  readAt: Date,
  limits: readonly InClusterLimit[],
): Promise<RecoverySource | undefined> {
  const all = await namedSchedules(admin);
  const schedules = namespaces.flatMap((namespace) =>
    all.filter((schedule) => schedule.namespace === namespace).slice(0, 1),
  );
  if (schedules.length < namespaces.length || namespaces.length === 0) return undefined;
  const fromMs = Math.max(...schedules.map((schedule) => beginMs(schedule, readAt)));
  if (fromMs >= readAt.getTime()) return undefined;
  // A clone copies one database, and Holdfast clones YSQL ones alone.
  const [only] = namespaces;
  const ways =
    namespaces.length === 1 && only?.startsWith('ysql.')
      ? (['clone', 'rewind'] as const)
      : (['rewind'] as const);
  return {
    kind: 'snapshot-schedule',
    schedule: schedules.map(({ id }) => id).join(', '),
    ways,
    windows: [{ from: new Date(fromMs).toISOString(), to: readAt.toISOString() }],
    limits,
  };
}

/** The first instant that can be reached: that of the oldest snapshot, within the retention. Milliseconds since 1970. */
function beginMs({ snapshots, retentionMs }: NamedSchedule, readAt: Date): number {
  const [oldest] = snapshots;
  if (oldest === undefined) return Number.POSITIVE_INFINITY;
  // Rounded up, because instants of Holdfast are whole milliseconds.
  const oldestMs = Number((BigInt(oldest.timeMicros) + 999n) / 1000n);
  return retentionMs === undefined ? oldestMs : Math.max(oldestMs, readAt.getTime() - retentionMs);
}

/** One thing that prevents a rewind or a clone, and the query that finds it. */
interface Obstacle {
  readonly ways: InClusterLimit['ways'];
  /** Completes "Failed to …". */
  readonly doing: string;
  /** Returns column `found`: a row for each obstacle, none if nothing stands in the way. */
  readonly sql: string;
  /** @param found the rows, in one list */
  readonly reason: (found: string) => string;
  readonly remedy: string;
}

/** The limits that the documentation states ("Point-in-time recovery", "Instant database cloning"). */
const OBSTACLES: readonly Obstacle[] = [
  {
    ways: ['rewind'],
    doing: 'look for read replicas',
    sql: "SELECT host AS found FROM yb_servers() WHERE node_type = 'read_replica' OR node_type = 'readreplica'",
    reason: (hosts) => `the universe has read replicas (${hosts}), on which a rewind is not supported`,
    remedy: 'Restore a backup, or clone.',
  },
  {
    ways: ['rewind'],
    doing: 'look for change data capture',
    sql: 'SELECT slot_name AS found FROM pg_catalog.pg_replication_slots WHERE database = current_database() ORDER BY slot_name',
    reason: (slots) =>
      `change data capture reads the database (slots ${slots}), and would not survive a rewind (YugabyteDB issue 12773)`,
    remedy: 'Drop the slots first and make them again afterwards, or clone.',
  },
  {
    ways: ['rewind', 'clone'],
    doing: 'look for tablespaces',
    sql: "SELECT spcname AS found FROM pg_catalog.pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY spcname",
    reason: (names) =>
      `the universe has tablespaces (${names}), with which going back in the universe is not supported`,
    remedy: 'Restore a backup.',
  },
  {
    ways: ['clone'],
    doing: 'count sequences',
    sql: 'SELECT count(*)::text AS found FROM pg_catalog.pg_sequences HAVING count(*) > 0',
    reason: (count) =>
      `the database has ${count} sequences, which a clone does not support (YugabyteDB issue 21467)`,
    remedy: 'Restore a backup beside it.',
  },
];

/** What prevents a rewind or a clone of a YSQL database. */
export async function databaseLimits(session: Session): Promise<readonly InClusterLimit[]> {
  const limits: InClusterLimit[] = [];
  for (const { ways, doing, sql, reason, remedy } of OBSTACLES) {
    const rows = await session.query<{ found: string }>(doing, sql);
    if (rows.length === 0) continue;
    limits.push({ ways, reason: reason(rows.map(({ found }) => found).join(', ')), remedy });
  }
  return limits;
}
