import { permanent } from '../../model/errors.ts';
import { onlyRow, type Session } from './server/session.ts';

/** How many locks the server has room for, over all sessions: what is beyond is `out of shared memory` (SQLSTATE 53200). */
export async function lockSlots(session: Session): Promise<number> {
  return (await lockRoom(session)).slots;
}

/** The server's room for locks. */
interface LockRoom {
  readonly slots: number;
  /** `max_connections` and `max_prepared_transactions`: what `max_locks_per_transaction` is multiplied by. */
  readonly maxConnections: number;
}

export async function lockRoom(session: Session): Promise<LockRoom> {
  const rows = await session.query<LockRoom>(
    'read how many locks the server has room for',
    `SELECT current_setting('max_locks_per_transaction')::float8 * count AS slots, count AS "maxConnections"
     FROM (SELECT current_setting('max_connections')::float8 + current_setting('max_prepared_transactions')::float8 AS count) sessions`,
  );
  return onlyRow(rows, 'its room for locks');
}

/** What is left for others while Holdfast holds its locks. */
const OWN_SHARE = 0.8;

/** How many tables and sequences a backup may lock at once; the session that holds the snapshot and the program that dumps the schema have the same locks. Pure. */
export function maxTablesAtOnce({ slots }: LockRoom): number {
  return Math.floor(slots * OWN_SHARE);
}

/**
 * Throws `YSQL_TOO_FEW_LOCKS` (permanent) where tables that have to be locked at once are more than may be: those that the order of a
 * dump depends on, after all others were put into slices. Pure.
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

/** A slice takes less than may be locked at once: so more is left for the sessions of others. */
const SLICE_SHARE = 0.5;

/** Tables in slices, each of which is locked by a run of its own. Pure. */
export function slicesOf<Table>(tables: readonly Table[], most: number): readonly (readonly Table[])[] {
  const size = Math.max(1, Math.floor(most * SLICE_SHARE));
  return Array.from({ length: Math.ceil(tables.length / size) }, (_, slice) =>
    tables.slice(slice * size, (slice + 1) * size),
  );
}

/** Relations that creating an entry of pre-data may lock: a table with its TOAST table and that one's index, a sequence with its owner. */
function locksOf({ type }: { readonly type: string }): number {
  return type === 'TABLE' ? 4 : 2;
}

/** The share of the room that one transaction may take. */
const TRANSACTION_SHARE = 0.25;

/** Entries in runs, in order, none of which takes more than its share of the locks; one run where all of them fit. Pure. */
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
