import { type Lsn, parseLsn, type SegmentHeader } from '../../../model/archive.ts';
import { HoldfastError, permanent } from '../../../model/errors.ts';
import { sqlState } from '../server/errors.ts';
import { onlyRow, type Session } from '../server/session.ts';

/** A replication slot as `pg_replication_slots` shows it. */
export interface Slot {
  readonly plugin: string;
  readonly database: string;
  /** Process that reads it at present. */
  readonly activePid: number | null;
  readonly confirmedFlush: Lsn;
  /** `lost`: the server removed WAL that the slot needs (`max_slot_wal_keep_size`). */
  readonly walStatus: string | null;
  /** Bytes of WAL that the server keeps for it. */
  readonly keptBytes: number;
}

const SLOT = `
  SELECT plugin, database, active_pid AS "activePid", confirmed_flush_lsn::text AS confirmed, wal_status AS "walStatus",
    coalesce(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn), 0)::float8 AS "keptBytes"
  FROM pg_catalog.pg_replication_slots WHERE slot_name = $1`;

/** Undefined where there is none. */
export async function readSlot(session: Session, name: string): Promise<Slot | undefined> {
  const [row] = await session.query<Omit<Slot, 'confirmedFlush'> & { readonly confirmed: string | null }>(
    'look at the replication slot',
    SLOT,
    [name],
  );
  if (row === undefined) return undefined;
  const { confirmed, ...slot } = row;
  return { ...slot, confirmedFlush: requireLsn(confirmed ?? '0/0') };
}

export interface SourceIdentity {
  readonly systemIdentifier: string;
  readonly databaseOid: number;
}

export async function readSourceIdentity(session: Session): Promise<SourceIdentity> {
  return onlyRow(
    await session.query<{ systemIdentifier: string; databaseOid: number }>(
      'identify the source',
      `SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS "systemIdentifier",
        oid::bigint::int8::float8 AS "databaseOid" FROM pg_catalog.pg_database WHERE datname = current_database()`,
    ),
    'its identity',
  );
}

/** The source's clock, and then a position: what committed at an earlier time lies before it, but for commits that are being written. */
export interface Moment {
  readonly micros: number;
  readonly lsn: Lsn;
}

export async function readMoment(session: Session): Promise<Moment> {
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

/** Writes a record that nobody is sent, so that the position of an idle server moves and its slot keeps no old WAL. */
export async function moveIdlePosition(session: Session): Promise<void> {
  await session.query(
    'move the position of an idle source',
    `SELECT pg_catalog.pg_logical_emit_message(true, 'holdfast', '')`,
  );
}

type Sequences = NonNullable<SegmentHeader['sequences']>;

const SEQUENCE_TRIES = 5;
/** A transaction that alters or restarts a sequence may go on for hours. The source must not keep its WAL for so long. */
const SEQUENCE_LOCK_TIMEOUT = '2s';

/**
 * Values of all sequences; undefined where one is locked, or where sequences are dropped again and again: the next segment has them then.
 */
export async function readSequences(session: Session): Promise<Sequences | undefined> {
  for (let tries = 0; tries < SEQUENCE_TRIES; tries += 1) {
    await session.query('begin a transaction', 'BEGIN');
    try {
      await session.query('wait not long', `SET LOCAL lock_timeout = '${SEQUENCE_LOCK_TIMEOUT}'`);
      return await session.query(
        'read the values of sequences',
        `SELECT schemaname AS schema, sequencename AS name, last_value::text AS "lastValue"
         FROM pg_catalog.pg_sequences ORDER BY 1, 2`,
      );
    } catch (error) {
      const state = error instanceof HoldfastError ? sqlState(error.cause) : undefined;
      // 55P03: it is locked. XX000 ("could not open relation with OID …") and 42P01: it was dropped while it was being read.
      if (state === '55P03') return undefined;
      if (state !== 'XX000' && state !== '42P01') throw error;
    } finally {
      if (!session.broken) await session.query('end the transaction', 'ROLLBACK');
    }
  }
  return undefined;
}

export async function readSnapshotXids(session: Session): Promise<string> {
  const row = onlyRow(
    await session.query<{ xids: string }>(
      'read which transactions run',
      'SELECT pg_catalog.pg_current_snapshot()::text AS xids',
    ),
    'its snapshot',
  );
  return row.xids;
}

export function requireLsn(text: string): Lsn {
  const lsn = parseLsn(text);
  if (lsn !== undefined) return lsn;
  throw permanent(
    'YSQL_BAD_LSN',
    `The server gave ${JSON.stringify(text)} as a position in its WAL`,
    'Check that the server is PostgreSQL 15 or newer.',
  );
}
