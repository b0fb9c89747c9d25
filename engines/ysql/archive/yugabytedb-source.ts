import { lsnOf, parseLsn, positionOf } from '../../../model/archive.ts';
import { defined } from '../../../model/defined.ts';
import { permanent } from '../../../model/errors.ts';
import { microsOfHybridTime } from '../../../model/hybrid-time.ts';
import { HOUR_MS } from '../../../model/time.ts';
import { currentRole, grantRemedy } from '../server/read-time.ts';
import { readServer } from '../server/server.ts';
import { onlyRow, type Session } from '../server/session.ts';
import type { ArchiveSource, Moment, Obstacle, Slot, SourceIdentity } from './source-kind.ts';
import { YUGABYTEDB_TABLES } from './tables.ts';
import { replicationLimits } from './yugabytedb-limits.ts';

/*
 * Logical replication of YugabyteDB with slots of LSN type HYBRID_TIME, as its sources have it (walsender.c, yb_decode.c, yb_virtual_wal_client.c,
 * cdcsdk_virtual_wal.cc) and its documentation. No cluster was asked. All transactions of one commit time are sent as one, so positions rise strictly; the
 * end of a commit is its time + 1, which is a time at which another may commit. So what is told to the source is the commit itself.
 */

/**
 * How long the source keeps changes that nobody acknowledged, by default (`cdc_intent_retention_ms`, `cdc_wal_retention_time_secs`, since 2024.2.1). A view
 * that says "expired" came late and said it late (issues 24804, 24721), so a slot that lies further back is not trusted, whatever it still gives.
 */
const RETENTION_MS = 8 * HOUR_MS;

interface SlotRow {
  readonly isActive: boolean;
  readonly confirmed: string | null;
  readonly walStatus: string | null;
  readonly streamId: string;
  readonly restart: string;
  readonly now: string;
  readonly lsnType: string;
}

const SLOT = `
  SELECT active AS "isActive", confirmed_flush_lsn::text AS confirmed, wal_status AS "walStatus", yb_stream_id AS "streamId",
    yb_restart_commit_ht::text AS restart, yb_lsn_type AS "lsnType", yb_get_current_hybrid_time_lsn()::text AS now
  FROM pg_catalog.pg_replication_slots WHERE slot_name = $1`;

async function readSlot(session: Session, name: string): Promise<Slot | undefined> {
  const [row] = await session.query<SlotRow>('look at the replication slot', SLOT, [name]);
  if (row === undefined) return undefined;
  const { isActive, confirmed, streamId, walStatus, lsnType } = row;
  const restart = BigInt(row.restart);
  const confirmedLsn = parseLsn(confirmed ?? '0/0') ?? '';
  const keptMs = Number((microsOfHybridTime(BigInt(row.now)) - microsOfHybridTime(restart)) / 1000n);
  return {
    reader: isActive ? 'is in use, or was moments ago' : null,
    // Until the first acknowledgement the source shows a place holder, which is small.
    confirmedEnd: lsnOf((confirmedLsn === '' ? 0n : positionOf(confirmedLsn)) + 1n),
    keptBytes: 0,
    keptMs,
    streamId,
    safeEnd: lsnOf(restart + 1n),
    ...defined({ lost: lossOf({ walStatus, lsnType, keptMs }) }),
  };
}

function lossOf({
  walStatus,
  lsnType,
  keptMs,
}: Pick<SlotRow, 'walStatus' | 'lsnType'> & { readonly keptMs: number }): string | undefined {
  if (walStatus === 'lost')
    return 'The source says that the slot has expired: it removed changes that were not archived yet.';
  if (lsnType !== 'HYBRID_TIME')
    return `The slot gives positions of type ${lsnType}, so it is not the archive's.`;
  if (keptMs <= RETENTION_MS) return undefined;
  return `The slot was read last ${Math.floor(keptMs / HOUR_MS)} hours ago, and the source keeps changes for ${RETENTION_MS / HOUR_MS} hours (cdc_intent_retention_ms): some may be gone.`;
}

/**
 * The position that the function returns is a place holder. The slot's begin is its consistent point: what commits after it is streamed, and nothing
 * else is.
 */
async function createSlot(session: Session, name: string) {
  await session.query(
    `create replication slot ${name}`,
    `SELECT FROM pg_catalog.pg_create_logical_replication_slot($1, 'yboutput', false, false, 'HYBRID_TIME')`,
    [name],
  );
  const slot = await readSlot(session, name);
  if (slot?.safeEnd === undefined) {
    throw permanent(
      'ARCHIVE_NO_SLOT_MADE',
      `The source made replication slot ${name} and shows none`,
      'See the log of the source; somebody else may have dropped it.',
    );
  }
  return { startLsn: slot.safeEnd, ...defined({ streamId: slot.streamId }) };
}

async function identify(session: Session): Promise<SourceIdentity> {
  return onlyRow(
    await session.query<{ systemIdentifier: string; databaseOid: number }>(
      'identify the source',
      `SELECT coalesce((SELECT to_json(s)->>'universe_uuid' FROM yb_servers() s LIMIT 1), 'not told') AS "systemIdentifier",
        oid::bigint::int8::float8 AS "databaseOid" FROM pg_catalog.pg_database WHERE datname = current_database()`,
    ),
    'its identity',
  );
}

async function readMoment(session: Session): Promise<Moment> {
  const row = onlyRow(
    await session.query<{ now: string }>(
      "read the source's clock",
      'SELECT yb_get_current_hybrid_time_lsn()::text AS now',
    ),
    'its clock',
  );
  const now = BigInt(row.now);
  return { micros: Number(microsOfHybridTime(now)), lsn: lsnOf(now) };
}

async function requireReadTime(session: Session): Promise<string> {
  const { may } = onlyRow(
    await session.query<{ may: boolean }>(
      'look whether the role may read at an instant',
      `SELECT rolsuper OR has_parameter_privilege('yb_read_time', 'SET') AS may FROM pg_catalog.pg_roles WHERE rolname = current_user`,
    ),
    'the role',
  );
  const role = await currentRole(session);
  if (may) return `role ${role} may set yb_read_time`;
  throw permanent(
    'ARCHIVE_NO_READ_TIME',
    `Role ${role} may not set yb_read_time, so its backups are read at exported snapshots, which say no hybrid time: none can be the base of a replay`,
    grantRemedy(role, await readServer(session)),
  );
}

export const YUGABYTEDB: ArchiveSource = {
  product: 'yugabytedb',
  plugin: 'yboutput',
  positions: 'hybrid-time',
  tables: YUGABYTEDB_TABLES,
  identify,
  readSlot,
  createSlot,
  readMoment,
  readSnapshotXids: () => Promise.resolve(undefined),
  slotObstacle: (): Obstacle | undefined => undefined,
  acknowledged: (end) => end - 1n,
  // cdc_service.cc: "CDCSDK Trying to fetch already GCed intents for transaction …"; "Stream ID … is expired for Tablet ID …".
  isExpired: (message) => /already GCed intents|is expired for/i.test(message),
  // Whatever goes wrong among its nodes is told so.
  isPassing: (code) => code === 'XX000',
  // ysql_cdc_active_replication_slot_window_ms is 1 to 5 minutes, by release and page.
  freesSlots:
    'YugabyteDB calls a slot in use for some minutes after its last reader has gone (ysql_cdc_active_replication_slot_window_ms)',
  freeWithinMs: 6 * 60_000,
  freesLate: true,
  lookEveryMs: 1_000,
  lacksKeyMarks: true,
  prerequisites: {
    logsChanges: ({ version }) =>
      `YugabyteDB ${version}, replication slots by hybrid time (early access). Of this release: ${replicationLimits(version).join('; ')}`,
    // Its slots are the cluster's, of all databases together.
    needsSenders: false,
    keeps: () =>
      'YugabyteDB keeps changes that were not acknowledged for 8 hours (cdc_intent_retention_ms, cdc_wal_retention_time_secs) and tells no bytes, so maxSourceLag is not used. A slot that nobody read for so long is given up, and a new timeline begins',
    // A base that was read at an exported snapshot meets the stream nowhere.
    baseIsReadAt: requireReadTime,
  },
  idle: 'safe-point',
};
