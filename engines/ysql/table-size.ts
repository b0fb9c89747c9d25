import type { Session } from './server/session.ts';

/* Measures tables whose size neither files nor statistics show. Each measurement is bounded: it reads about a chunk's worth of rows. */

const FIRST_LOOK_ROWS = 100;
const WHOLE_ROW = '"holdfast row"';

interface Look {
  readonly rows: number;
  readonly bytes: number;
}

/** True when a table has more text than a chunk. Reads at most a chunk's worth of rows, and the server sends none of them. */
export async function exceedsChunk(session: Session, table: string, chunkBytes: number): Promise<boolean> {
  const look = await firstRows(session, table);
  if (look.rows < FIRST_LOOK_ROWS) return look.bytes > chunkBytes;
  const most = Math.ceil((chunkBytes * look.rows) / Math.max(1, look.bytes));
  const rows = await countAtMost(session, table, '', most + 1);
  return rows > most;
}

async function firstRows(session: Session, table: string): Promise<Look> {
  const [look] = await session.query<Look>(
    `measure rows of ${table} of database "${session.database}"`,
    `SELECT count(*)::float8 AS rows, coalesce(sum(octet_length(${WHOLE_ROW}::text)), 0)::float8 AS bytes
     FROM (SELECT ${WHOLE_ROW} FROM ONLY ${table} ${WHOLE_ROW} LIMIT ${FIRST_LOOK_ROWS}) s`,
  );
  return look ?? { rows: 0, bytes: 0 };
}

async function countAtMost(session: Session, table: string, where: string, limit: number): Promise<number> {
  const [count] = await session.query<{ rows: number }>(
    `count rows of ${table} of database "${session.database}"`,
    `SELECT count(*)::float8 AS rows FROM (SELECT FROM ONLY ${table} ${where} LIMIT ${limit}) s`,
  );
  return count?.rows ?? 0;
}

/** How many of the 65,536 hash codes a sample counts the rows of. */
const SLICE_CODES = 64;
const SLICE_SHARE = SLICE_CODES / 65_536;

/**
 * Estimates the text of a hash-sharded table, in bytes: exactly for a small table, otherwise from the rows in a slice of its hash codes. Where the
 * slice alone holds more than a chunk, the result is a lower bound.
 */
export async function hashedBytes(
  session: Session,
  table: string,
  hashKey: readonly string[],
  chunkBytes: number,
): Promise<number> {
  const look = await firstRows(session, table);
  if (look.rows < FIRST_LOOK_ROWS) return look.bytes;
  const rowBytes = look.bytes / look.rows;
  const code = `yb_hash_code(${hashKey.join(', ')})`;
  const limit = Math.ceil(chunkBytes / Math.max(1, rowBytes));
  const rows = await countAtMost(
    session,
    table,
    `WHERE ${code} >= 0 AND ${code} <= ${SLICE_CODES - 1}`,
    limit,
  );
  return Math.max(chunkBytes + 1, (rows * rowBytes) / SLICE_SHARE);
}
