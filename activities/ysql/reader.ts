import type { ReadPoint } from '../../model/backup.ts';
import { permanent, READ_POINT_LOST } from '../../model/errors.ts';
import type { ConnectionTarget } from './connection-url.ts';
import { connect, type Session } from './session.ts';

/** Idle readers wait this long for the next chunk before they close. */
const IDLE_MS = 2_000;

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

/**
 * Readers that wait for their next chunk: connecting and importing a snapshot for every small table would cost more than
 * reading it. One reader serves one caller at a time; the pool holds no more readers than there were callers at once.
 */
const idle = new Map<string, IdleReader[]>();

interface IdleReader {
  readonly session: Session;
  readonly timer: NodeJS.Timeout;
}

/** Lends a reader to `work`. One that failed or was aborted is closed, never lent again. */
export async function withReader<T>(
  target: ConnectionTarget,
  database: string,
  readPoint: ReadPoint,
  signal: AbortSignal,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const key = JSON.stringify([target, database, readPoint]);
  const session = takeIdle(key, signal) ?? (await openReader(target, database, readPoint, signal));
  try {
    const result = await work(session);
    if (signal.aborted) await session.close();
    else keepIdle(key, session);
    return result;
  } catch (error) {
    await session.close();
    throw error;
  }
}

function takeIdle(key: string, signal: AbortSignal): Session | undefined {
  for (;;) {
    const reader = idle.get(key)?.pop();
    if (reader === undefined) return undefined;
    clearTimeout(reader.timer);
    if (!reader.session.broken) {
      reader.session.adopt(signal);
      return reader.session;
    }
  }
}

function keepIdle(key: string, session: Session): void {
  session.adopt(undefined);
  const readers = idle.get(key) ?? [];
  const timer = setTimeout(() => {
    const place = readers.findIndex((reader) => reader.session === session);
    if (place >= 0) readers.splice(place, 1);
    if (readers.length === 0 && idle.get(key) === readers) idle.delete(key);
    void session.close();
  }, IDLE_MS);
  readers.push({ session, timer });
  idle.set(key, readers);
}
