import type { ReadPoint } from '../../model/backup.ts';
import { permanent, READ_POINT_LOST } from '../../model/errors.ts';
import type { ConnectionTarget } from './connection-url.ts';
import { connect, type Session } from './session.ts';
import { withPooledSession } from './session-pool.ts';

/**
 * A session inside a read-only transaction that sees `database` at the read point.
 * Throws `READ_POINT_LOST` (permanent) when the read point is gone.
 */
export async function openReader(
  target: ConnectionTarget,
  database: string,
  readPoint: ReadPoint,
  signal: AbortSignal,
): Promise<Session> {
  if (readPoint.kind === 'yb-read-time') {
    const session = await connect(target, database, signal, `SET yb_read_time = ${BigInt(readPoint.micros)}`);
    await beginReading(session);
    return session;
  }
  const snapshot = readPoint.snapshots[database];
  if (snapshot === undefined) {
    throw permanent(
      READ_POINT_LOST,
      `The read point has no snapshot of database "${database}"`,
      'A new read point is opened.',
    );
  }
  const session = await connect(target, database, signal);
  await beginReading(session);
  try {
    await session.query(
      `import the snapshot of database "${database}"`,
      `SET TRANSACTION SNAPSHOT '${snapshot.replaceAll("'", "''")}'`,
    );
  } catch (error) {
    await session.close();
    throw error;
  }
  return session;
}

async function beginReading(session: Session): Promise<void> {
  await session.query('begin to read', 'BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
}

/** Lends a reader at the read point to `work`; it is kept for the next chunk a moment longer. */
export async function withReader<T>(
  target: ConnectionTarget,
  database: string,
  readPoint: ReadPoint,
  signal: AbortSignal,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const key = JSON.stringify([target, database, readPoint]);
  return await withPooledSession(key, () => openReader(target, database, readPoint, signal), signal, work);
}
