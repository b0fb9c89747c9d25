import { permanent } from '../../model/errors.ts';
import { onlyRow, type Session } from './server/session.ts';

/** How many locks the server has room for, over all sessions. One lock more fails with `out of shared memory` (SQLSTATE 53200). */
export async function lockSlots(session: Session): Promise<number> {
  return (await lockRoom(session)).slots;
}

/** The server's room for locks. */
interface LockRoom {
  readonly slots: number;
  /** `max_connections` plus `max_prepared_transactions`, by which the server multiplies `max_locks_per_transaction`. */
  readonly maxConnections: number;
}

/** Reads how many locks the server has room for, over all sessions. */
export async function lockRoom(session: Session): Promise<LockRoom> {
  const rows = await session.query<LockRoom>(
    'read how many locks the server has room for',
    `SELECT current_setting('max_locks_per_transaction')::float8 * count AS slots, count AS "maxConnections"
     FROM (SELECT current_setting('max_connections')::float8 + current_setting('max_prepared_transactions')::float8 AS count) sessions`,
  );
  return onlyRow(rows, 'its room for locks');
}

/** Holdfast takes at most this share of the locks and leaves the rest to others. */
const OWN_SHARE = 0.8;

/**
 * How many tables and sequences a backup may lock at once. The session that holds the snapshot and the dump program lock the same tables, which counts once.
 * Pure.
 */
export function maxTablesAtOnce({ slots }: LockRoom): number {
  return Math.floor(slots * OWN_SHARE);
}

/**
 * Throws `YSQL_TOO_FEW_LOCKS` (permanent) when more tables must be locked at once than may be. These are the tables that the order of
 * a dump depends on and that no slice can take. Pure.
 *
 * @param most what `maxTablesAtOnce` allows
 */
export function requireRoomForLocks({
  relations,
  most,
  maxConnections,
}: {
  readonly relations: number;
  readonly most: number;
  readonly maxConnections: number;
}): void {
  if (relations <= most) return;
  const wanted = Math.ceil(relations / OWN_SHARE / Math.max(1, maxConnections));
  throw permanent(
    'YSQL_TOO_FEW_LOCKS',
    `${relations} tables and sequences have to be locked at once (partitions, tables with columns of own types, what views read), and no more than ${most} may be`,
    `Set max_locks_per_transaction to ${wanted} or more and restart the server, or back up fewer tables in one plan.`,
  );
}

/** The share of the allowed locks that one slice takes, which leaves more to other sessions. */
const SLICE_SHARE = 0.5;

/** Divides tables into slices. A separate run of the dump program locks each slice. Pure. */
export function slicesOf<Table>(tables: readonly Table[], most: number): readonly (readonly Table[])[] {
  const size = Math.max(1, Math.floor(most * SLICE_SHARE));
  return Array.from({ length: Math.ceil(tables.length / size) }, (_, slice) =>
    tables.slice(slice * size, (slice + 1) * size),
  );
}

/** How many relations the creation of a pre-data entry may lock: a table with its TOAST table and that table's index, or a sequence with its owner. */
function locksOf({ type }: { readonly type: string }): number {
  return type === 'TABLE' ? 4 : 2;
}

/** The share of the server's locks that one transaction may take. */
const TRANSACTION_SHARE = 0.25;

/** Divides entries, in order, into runs that each take at most their share of the locks. Returns one run when all entries fit. Pure. */
export function inLockBudget<Entry extends { readonly type: string }>(
  entries: readonly Entry[],
  slots: number,
): readonly (readonly Entry[])[] {
  const most = Math.max(100, slots * TRANSACTION_SHARE);
  const runs: Entry[][] = [[]];
  let taken = 0;
  for (const entry of entries) {
    const locks = locksOf(entry);
    if (taken + locks > most) {
      runs.push([]);
      taken = 0;
    }
    runs.at(-1)?.push(entry);
    taken += locks;
  }
  return runs;
}
