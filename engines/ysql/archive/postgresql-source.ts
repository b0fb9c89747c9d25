import { formatBytes } from '../../../model/amounts.ts';
import { type Lsn, parseLsn } from '../../../model/archive.ts';
import { defined } from '../../../model/defined.ts';
import { permanent } from '../../../model/errors.ts';
import { onlyRow, type Session } from '../server/session.ts';
import type { ArchiveSource, Moment, Slot, SourceIdentity } from './source-kind.ts';
import { POSTGRESQL_TABLES } from './tables.ts';

const SLOT = `
  SELECT active_pid AS pid, confirmed_flush_lsn::text AS confirmed, wal_status AS "walStatus",
    coalesce(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn), 0)::float8 AS "keptBytes"
  FROM pg_catalog.pg_replication_slots WHERE slot_name = $1`;

interface SlotRow {
  readonly pid: number | null;
  readonly confirmed: string | null;
  readonly walStatus: string | null;
  readonly keptBytes: number;
}

async function readSlot(session: Session, name: string): Promise<Slot | undefined> {
  const [row] = await session.query<SlotRow>('look at the replication slot', SLOT, [name]);
  if (row === undefined) return undefined;
  const { pid, confirmed, walStatus, keptBytes } = row;
  return {
    reader: pid === null ? null : `is being read by process ${pid} of the source`,
    confirmedEnd: requireLsn(confirmed ?? '0/0'),
    keptBytes,
    ...defined({ lost: walStatus === 'lost' ? LOST : undefined }),
  };
}

const LOST = 'The source removed WAL that was not archived yet (max_slot_wal_keep_size).';

/** Waits until the transactions that run now have ended. */
async function createSlot(session: Session, name: string) {
  const rows = await session.query<{ lsn: string }>(
    `create replication slot ${name}`,
    `SELECT lsn::text AS lsn FROM pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')`,
    [name],
  );
  return { startLsn: requireLsn(onlyRow(rows, 'the replication slot').lsn) };
}

async function identify(session: Session): Promise<SourceIdentity> {
  return onlyRow(
    await session.query<{ systemIdentifier: string; databaseOid: number; walTimeline: number }>(
      'identify the source',
      // The name of a file of the WAL begins with its timeline.
      `SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS "systemIdentifier",
        ('x' || left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8))::bit(32)::int AS "walTimeline",
        oid::bigint::int8::float8 AS "databaseOid" FROM pg_catalog.pg_database WHERE datname = current_database()`,
    ),
    'its identity',
  );
}

async function readMoment(session: Session): Promise<Moment> {
  const clock = onlyRow(
    await session.query<{ micros: string }>(
      "read the source's clock",
      'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8::text AS micros',
    ),
    'its clock',
  );
  const place = onlyRow(
    await session.query<{ lsn: string }>(
      "read the source's position",
      'SELECT pg_catalog.pg_current_wal_insert_lsn()::text AS lsn',
    ),
    'its position',
  );
  return { micros: Number(clock.micros), lsn: requireLsn(place.lsn) };
}

async function readSnapshotXids(session: Session): Promise<string> {
  const row = onlyRow(
    await session.query<{ xids: string }>(
      'read which transactions run',
      'SELECT pg_catalog.pg_current_snapshot()::text AS xids',
    ),
    'its snapshot',
  );
  return row.xids;
}

function requireLsn(text: string): Lsn {
  const lsn = parseLsn(text);
  if (lsn !== undefined) return lsn;
  throw permanent(
    'YSQL_BAD_LSN',
    `The server gave ${JSON.stringify(text)} as a position in its WAL`,
    'Check that the server is PostgreSQL 15 or newer.',
  );
}

export const POSTGRESQL: ArchiveSource = {
  product: 'postgresql',
  plugin: 'pgoutput',
  tables: POSTGRESQL_TABLES,
  identify,
  readSlot,
  createSlot,
  readMoment,
  readSnapshotXids,
  slotObstacle({ keptBytes }, _end, { maxSourceLagBytes }) {
    if (keptBytes <= maxSourceLagBytes) return undefined;
    return {
      code: 'source-lag',
      reason: `The slot kept ${formatBytes(keptBytes)} of WAL on the source, more than maxSourceLag (${formatBytes(maxSourceLagBytes)}), and was given up.`,
    };
  },
  acknowledged: (end) => end,
  isExpired: () => false,
  isPassing: () => false,
  freesSlots: 'a connection that was cut ends within wal_sender_timeout',
  // It notices that a stream was closed when it next reads or writes there, later where it is busy.
  freeWithinMs: 10_000,
  freesLate: false,
  lookEveryMs: 50,
  lacksKeyMarks: false,
  prerequisites: {
    logsChanges({ version }, { walLevel }) {
      if (walLevel === 'logical') return `PostgreSQL ${version}, wal_level logical`;
      throw permanent(
        'ARCHIVE_WAL_LEVEL',
        `wal_level is ${walLevel}, and an archive of changes needs logical`,
        "Run ALTER SYSTEM SET wal_level = 'logical'; and restart the server.",
      );
    },
    needsSenders: true,
    keeps({ maxSlotKeepMiB }, { maxSourceLagBytes }) {
      const own = formatBytes(maxSourceLagBytes);
      return maxSlotKeepMiB < 0
        ? `the archive gives its slot up at ${own} (maxSourceLag), as long as a worker runs; while none does, the server keeps WAL until its disk is full, since max_slot_wal_keep_size is -1. See that pg_wal has room for ${own}`
        : `the archive gives its slot up at ${own} (maxSourceLag), the server at ${formatBytes(maxSlotKeepMiB * 1024 ** 2)} (max_slot_wal_keep_size)`;
    },
  },
  idle: 'record',
};

/** Writes a record that nobody is sent, so that the position of an idle server moves and its slot keeps no old WAL. */
export async function moveIdlePosition(session: Session): Promise<void> {
  await session.query(
    'move the position of an idle source',
    `SELECT pg_catalog.pg_logical_emit_message(true, 'holdfast', '')`,
  );
}
