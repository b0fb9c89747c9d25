import { permanent } from '../../../model/errors.ts';
import { BOOKKEEPING_SCHEMA } from '../server/bookkeeping-schema.ts';
import type { Session } from '../server/session.ts';
import type { TransactionMark } from './cut.ts';

/** How far the replay of a database is: its last transaction, and what was applied up to it. */
export interface ReplayPosition extends TransactionMark {
  /** Where its commit record ends. */
  readonly endLsn: bigint;
  readonly transactions: number;
  readonly changes: number;
}

/** By how much the rows of a table differ from the base's; after a TRUNCATE, from none. */
export interface RowCount {
  readonly isTruncated: boolean;
  readonly rows: number;
}

const POSITION = `${BOOKKEEPING_SCHEMA}.replayed`;
const COUNTS = `${BOOKKEEPING_SCHEMA}.replayed_rows`;

/** Makes room for the position beside the rest of the restore's bookkeeping. May be called again. */
export async function createPosition(session: Session): Promise<void> {
  await session.query(
    'create the bookkeeping of the replay',
    `CREATE TABLE IF NOT EXISTS ${POSITION} (one boolean PRIMARY KEY DEFAULT true CHECK (one), xid bigint NOT NULL,
       commit_lsn pg_lsn NOT NULL, end_lsn pg_lsn NOT NULL, commit_micros bigint NOT NULL, transactions bigint NOT NULL, changes bigint NOT NULL);
     CREATE TABLE IF NOT EXISTS ${COUNTS} (relation text PRIMARY KEY, truncated boolean NOT NULL, rows bigint NOT NULL)`,
  );
}

/** Undefined where nothing was applied yet. */
export async function readPosition(session: Session): Promise<ReplayPosition | undefined> {
  const [row] = await session.query<
    Record<'xid' | 'lsn' | 'end' | 'micros' | 'transactions' | 'changes', string>
  >(
    'read how far the replay is',
    `SELECT xid::text, (commit_lsn - '0/0'::pg_lsn)::text AS lsn, (end_lsn - '0/0'::pg_lsn)::text AS end, commit_micros::text AS micros,
       transactions::text, changes::text FROM ${POSITION}`,
  );
  if (row === undefined) return undefined;
  return {
    xid: Number(row.xid),
    commitLsn: BigInt(row.lsn),
    endLsn: BigInt(row.end),
    commitMicros: BigInt(row.micros),
    transactions: Number(row.transactions),
    changes: Number(row.changes),
  };
}

/** In the transaction that applied what the position counts. */
export async function writePosition(session: Session, position: ReplayPosition): Promise<void> {
  const { xid, commitLsn, endLsn, commitMicros, transactions, changes } = position;
  const written = await session.query(
    'note how far the replay is',
    `INSERT INTO ${POSITION} AS known (xid, commit_lsn, end_lsn, commit_micros, transactions, changes)
     VALUES ($1, '0/0'::pg_lsn + $2::numeric, '0/0'::pg_lsn + $3::numeric, $4, $5, $6)
     ON CONFLICT (one) DO UPDATE SET xid = excluded.xid, commit_lsn = excluded.commit_lsn, end_lsn = excluded.end_lsn,
       commit_micros = excluded.commit_micros, transactions = excluded.transactions, changes = excluded.changes
       WHERE known.commit_lsn < excluded.commit_lsn
     RETURNING true`,
    [xid, String(commitLsn), String(endLsn), String(commitMicros), transactions, changes],
  );
  if (written.length > 0) return;
  throw permanent(
    'REPLAY_OVERTAKEN',
    `Another attempt has replayed database "${session.database}" further than this one`,
    'This attempt leaves it to the other one.',
  );
}

/** Adds to what the rows of tables (by quoted name) differ from the base's. In the transaction that applied it. */
export async function addRowCounts(session: Session, counts: ReadonlyMap<string, RowCount>): Promise<void> {
  if (counts.size === 0) return;
  const values = [...counts.values()];
  await session.query(
    'note how the numbers of rows changed',
    `INSERT INTO ${COUNTS} AS known SELECT * FROM unnest($1::text[], $2::boolean[], $3::bigint[])
     ON CONFLICT (relation) DO UPDATE SET truncated = known.truncated OR excluded.truncated,
       rows = excluded.rows + CASE WHEN excluded.truncated THEN 0 ELSE known.rows END`,
    [[...counts.keys()], values.map(({ isTruncated }) => isTruncated), values.map(({ rows }) => rows)],
  );
}

/** By quoted name; tables that nothing was applied to are absent. */
export async function readRowCounts(session: Session): Promise<ReadonlyMap<string, RowCount>> {
  const rows = await session.query<{ relation: string; truncated: boolean; rows: string }>(
    'read how the numbers of rows changed',
    `SELECT relation, truncated, rows::text AS rows FROM ${COUNTS}`,
  );
  return new Map(
    rows.map(({ relation, truncated, rows: count }) => [
      relation,
      { isTruncated: truncated, rows: Number(count) },
    ]),
  );
}
