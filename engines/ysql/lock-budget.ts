import { permanent } from '../../model/errors.ts';
import type { Session } from './server/session.ts';

/** How many locks the server has room for, over all sessions: what is beyond is `out of shared memory` (SQLSTATE 53200). */
export async function lockSlots(session: Session): Promise<number> {
  const [row] = await session.query<{ slots: number }>(
    'read how many locks the server has room for',
    `SELECT current_setting('max_locks_per_transaction')::float8 * (current_setting('max_connections')::float8 + current_setting('max_prepared_transactions')::float8) AS slots`,
  );
  return row?.slots ?? 0;
}

/** `max_connections` and `max_prepared_transactions`: what `max_locks_per_transaction` is multiplied by. */
export async function maxConnections(session: Session): Promise<number> {
  const [row] = await session.query<{ count: number }>(
    'read how many connections the server takes',
    "SELECT current_setting('max_connections')::float8 + current_setting('max_prepared_transactions')::float8 AS count",
  );
  return row?.count ?? 0;
}

/** What is left for others while Holdfast holds its locks. */
const OWN_SHARE = 0.8;

/**
 * What a backup's locks are against the room that the server has: the session that holds the snapshot and the program that dumps the schema lock every
 * table, and they are the same locks to the server. Throws `YSQL_TOO_FEW_LOCKS` (permanent) where they don't fit. Pure.
 */
export function requireRoomForLocks({
  tables,
  slots,
  maxConnections,
}: {
  readonly tables: number;
  readonly slots: number;
  readonly maxConnections: number;
}): string {
  const sum = `${tables} tables are locked at once, and the server has room for about ${slots} locks`;
  if (tables <= slots * OWN_SHARE) return sum;
  const wanted = Math.ceil(tables / OWN_SHARE / Math.max(1, maxConnections));
  throw permanent(
    'YSQL_TOO_FEW_LOCKS',
    sum,
    `Set max_locks_per_transaction to ${wanted} or more and restart the server, or back up fewer tables in one plan.`,
  );
}

/** Relations that creating an entry of pre-data may lock: a table with its TOAST table and that one's index, a sequence with its owner. */
function locksOf({ type }: { readonly type: string }): number {
  return type === 'TABLE' ? 4 : 2;
}

/** So much of the room one transaction may take. */
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
