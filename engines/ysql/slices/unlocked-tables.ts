import type { LogicalReadPoint, TableId } from '../../../model/backup.ts';
import { permanent, READ_POINT_LOST } from '../../../model/errors.ts';
import { holdsLargeObjects } from '../large-objects.ts';
import type { ConnectionTarget } from '../server/connection-url.ts';
import { sqlState } from '../server/errors.ts';
import { quoteTable, tableName } from '../server/identifiers.ts';
import { withPresent } from '../server/reader.ts';
import type { Session } from '../server/session.ts';

/** How many tables may be locked at once; undefined where the read point's holder locks them all. */
export function tablesLockedAtOnce(readPoint: LogicalReadPoint): number | undefined {
  return readPoint.kind === 'pg-snapshot' ? readPoint.tablesLockedAtOnce : undefined;
}

/** Runs `work` in the reader's transaction and then releases the locks that it took. An error in `work` doesn't end the transaction. */
export async function givingLocksBack<T>(reader: Session, work: () => Promise<T>): Promise<T> {
  await reader.query('mark the locks', 'SAVEPOINT holdfast_locks');
  const giveBack = () =>
    reader.query('give locks back', 'ROLLBACK TO holdfast_locks; RELEASE holdfast_locks');
  let result: T;
  try {
    result = await work();
  } catch (error) {
    if (!reader.broken) await giveBack();
    throw error;
  }
  await giveBack();
  return result;
}

/**
 * Runs `work`, which reads one table, in the reader's transaction. Where the read point doesn't lock all tables, it locks this one meanwhile and
 * checks that the table is the same as at the read point: a table that was truncated or rewritten since then looks empty to an older snapshot,
 * without an error.
 *
 * @throws HoldfastError `READ_POINT_LOST` (permanent) when the table was changed
 */
export async function readingTable<T>(
  reader: Session,
  { target, readPoint, table }: Place,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  if (tablesLockedAtOnce(readPoint) === undefined || holdsLargeObjects(table)) return await work();
  return await givingLocksBack(reader, async () => {
    await lock(reader, table);
    const then = await identity(reader, table);
    const now = await withPresent(target, table.database, signal, (session) => identity(session, table));
    // Columns added since then come after those that are read.
    if (then === undefined || now?.startsWith(then) !== true) throw changed(table);
    return await work();
  });
}

interface Place {
  readonly target: ConnectionTarget;
  readonly readPoint: LogicalReadPoint;
  readonly table: TableId;
}

const GONE = new Set(['42P01', '3F000']);

async function lock(reader: Session, table: TableId): Promise<void> {
  try {
    await reader.query(
      `lock ${tableName(table)} against DDL`,
      `LOCK TABLE ONLY ${quoteTable(table)} IN ACCESS SHARE MODE`,
    );
  } catch (error) {
    const state = error instanceof Error ? sqlState(error.cause) : undefined;
    throw state !== undefined && GONE.has(state) ? changed(table, error) : error;
  }
}

/** Reads which table has the name, which file holds its rows, and its columns in order. A query of the catalogue sees the transaction's snapshot. */
const IDENTITY = `
  SELECT format('%s %s;', c.oid, c.relfilenode) || coalesce((SELECT string_agg(
    format('%s %I %s %s %s;', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attisdropped), '' ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0), '') AS identity
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relname = $2`;

async function identity(session: Session, table: TableId): Promise<string | undefined> {
  const [row] = await session.query<{ identity: string }>(`look at ${tableName(table)}`, IDENTITY, [
    table.schema,
    table.table,
  ]);
  return row?.identity;
}

function changed(table: TableId, cause?: unknown): Error {
  return permanent(
    READ_POINT_LOST,
    `Table ${tableName(table)} of database "${table.database}" was dropped, truncated, rewritten or changed after the read point`,
    'A new read point is opened. The tables are more than the server has room for locks, so that none is locked for the whole backup: run no TRUNCATE, VACUUM FULL, CLUSTER or ALTER TABLE beside it, or raise max_locks_per_transaction (doctor does the sum).',
    cause,
  );
}
