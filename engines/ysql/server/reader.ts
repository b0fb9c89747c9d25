import type { LogicalReadPoint } from '../../../model/backup.ts';
import { permanent, READ_POINT_LOST } from '../../../model/errors.ts';
import type { ConnectionTarget } from './connection-url.ts';
import { quoteLiteral } from './identifiers.ts';
import { sessionIsShared } from './pooler.ts';
import { ignoreDdl, readTimeStatement } from './read-time.ts';
import { connect, onlyRow, pinSettings, type Session } from './session.ts';
import { withPooledSession } from './session-pool.ts';

/**
 * Opens a session inside a read-only transaction that sees `database` at the read point.
 * Throws `READ_POINT_LOST` (permanent) when the read point is gone.
 */
export async function openReader(
  target: ConnectionTarget,
  database: string,
  readPoint: LogicalReadPoint,
  signal: AbortSignal,
): Promise<Session> {
  if (readPoint.kind === 'yb-read-time') {
    const session = await connect(target, database, signal, readTimeStatement(readPoint.micros));
    try {
      await ignoreDdl(session);
    } catch (error) {
      await session.close();
      throw error;
    }
    return await beginReading(session, undefined);
  }
  const snapshot = readPoint.kind === 'pg-snapshot' ? readPoint.snapshots[database] : undefined;
  if (snapshot === undefined) {
    throw permanent(
      READ_POINT_LOST,
      `The read point has no snapshot of database "${database}"`,
      'A new read point is opened.',
    );
  }
  const xids = readPoint.kind === 'pg-snapshot' ? readPoint.place?.snapshotXids[database] : undefined;
  return await beginReading(await connect(target, database, signal), snapshot, xids);
}

/** States everything explicitly, so that the session's defaults don't matter. */
export const BEGIN_READING = 'BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY, NOT DEFERRABLE';

/** @param xids which transactions the snapshot sees, where that is known: servers give the names of snapshots anew after a restart, and each its own */
async function beginReading(session: Session, snapshot: string | undefined, xids?: string): Promise<Session> {
  try {
    await session.query('begin to read', BEGIN_READING);
    if (snapshot !== undefined) {
      await session.query(
        `import the snapshot of database "${session.database}"`,
        `SET TRANSACTION SNAPSHOT ${quoteLiteral(snapshot)}`,
      );
      if (xids !== undefined) await requireSame(session, xids);
    }
    const settings = await pinSettings(session);
    // '0' means the present: the read time was set in another session of the server.
    const readsPresent = settings.some(({ readTime }) => readTime === '0');
    if (snapshot === undefined && readsPresent) throw sessionIsShared(session.database);
    return session;
  } catch (error) {
    await session.close();
    throw error;
  }
}

async function requireSame(session: Session, xids: string): Promise<void> {
  const rows = await session.query<{ xids: string }>(
    'compare the snapshot with that of the read point',
    'SELECT pg_catalog.pg_current_snapshot()::text AS xids',
  );
  if (onlyRow(rows, 'its snapshot').xids === xids) return;
  throw permanent(
    READ_POINT_LOST,
    `The snapshot of database "${session.database}" that has the read point's name is another one: the server was restarted, or another server answers`,
    'A new read point is opened.',
  );
}

/** Lends a reader at the read point to `work`, and keeps it open for a moment for the next chunk. */
export async function withReader<T>(
  target: ConnectionTarget,
  database: string,
  readPoint: LogicalReadPoint,
  signal: AbortSignal,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const key = JSON.stringify([target, database, readPoint]);
  return await withPooledSession(key, () => openReader(target, database, readPoint, signal), signal, work);
}

/**
 * Lends a session that sees the present to `work`, and keeps it open for a moment for the next step. `work` must leave no
 * settings and no transaction behind.
 */
export async function withPresent<T>(
  target: ConnectionTarget,
  database: string,
  signal: AbortSignal,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const key = JSON.stringify([target, database]);
  return await withPooledSession(key, () => connect(target, database, signal), signal, work);
}

/** Returns the name of the encoding in which a backup stores a database's rows. */
export async function dataEncoding(session: Session): Promise<string> {
  const known = encodings.get(session);
  if (known !== undefined) return known;
  const rows = await session.query<{ server_encoding: string }>('read the encoding', 'SHOW server_encoding');
  const { server_encoding: encoding } = onlyRow(rows, 'its encoding');
  encodings.set(session, encoding);
  return encoding;
}

/** Known encodings; a database never changes its encoding. */
const encodings = new WeakMap<Session, string>();
