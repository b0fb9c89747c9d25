import type { InClusterLimit, RecoverySource } from '../../../model/recovery.ts';
import type { Session } from '../../ysql/server/session.ts';
import type { YbAdmin } from '../yb-admin/program.ts';
import { type NamedSchedule, namedSchedules } from './schedules.ts';

/**
 * What the snapshot schedules of these databases and keyspaces can be gone back to, all of them together; undefined where one of them has none, or
 * no snapshot yet. `readAt`: the universe's present, near enough.
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
  // A clone is of one database, and of YSQL alone here.
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

/** From the oldest snapshot on every instant can be reached, as far as retention goes. */
function beginMs({ snapshots, retentionMs }: NamedSchedule, readAt: Date): number {
  const [oldest] = snapshots;
  if (oldest === undefined) return Number.POSITIVE_INFINITY;
  // The next whole millisecond: an instant of ours has no finer part.
  const oldestMs = Number((BigInt(oldest.timeMicros) + 999n) / 1000n);
  return retentionMs === undefined ? oldestMs : Math.max(oldestMs, readAt.getTime() - retentionMs);
}

/** What stands in the way of a rewind or a clone of a YSQL database, as the documentation limits them ("Point-in-time recovery", "Instant database cloning"). */
export async function databaseLimits(session: Session): Promise<readonly InClusterLimit[]> {
  const limits: InClusterLimit[] = [];
  const replicas = await session.query<{ host: string }>(
    'look for read replicas',
    "SELECT host FROM yb_servers() WHERE node_type = 'read_replica' OR node_type = 'readreplica'",
  );
  if (replicas.length > 0) {
    limits.push({
      ways: ['rewind'],
      reason: `the universe has read replicas (${replicas.map(({ host }) => host).join(', ')}), on which a rewind is not supported`,
      remedy: 'Restore a backup, or clone.',
    });
  }
  const slots = await session.query<{ name: string }>(
    'look for change data capture',
    'SELECT slot_name AS name FROM pg_catalog.pg_replication_slots WHERE database = current_database() ORDER BY slot_name',
  );
  if (slots.length > 0) {
    limits.push({
      ways: ['rewind'],
      reason: `change data capture reads the database (slots ${slots.map(({ name }) => name).join(', ')}), and would not survive a rewind (YugabyteDB issue 12773)`,
      remedy: 'Drop the slots first and make them again afterwards, or clone.',
    });
  }
  const tablespaces = await session.query<{ name: string }>(
    'look for tablespaces',
    "SELECT spcname AS name FROM pg_catalog.pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY spcname",
  );
  if (tablespaces.length > 0) {
    limits.push({
      ways: ['rewind', 'clone'],
      reason: `the universe has tablespaces (${tablespaces.map(({ name }) => name).join(', ')}), with which going back in the universe is not supported`,
      remedy: 'Restore a backup.',
    });
  }
  const sequences = await session.query<{ count: string }>(
    'count sequences',
    'SELECT count(*)::text AS count FROM pg_catalog.pg_sequences',
  );
  if (sequences[0]?.count !== '0') {
    limits.push({
      ways: ['clone'],
      reason: `the database has ${sequences[0]?.count} sequences, which a clone does not support (YugabyteDB issue 21467)`,
      remedy: 'Restore a backup beside it.',
    });
  }
  return limits;
}
