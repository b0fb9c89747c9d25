import type { Session } from './session.ts';

/** Idle sessions wait this long for their next use before they close. */
const IDLE_MS = 2_000;

/**
 * Sessions that wait for their next use. Connecting (and importing a snapshot) for every small table would cost more than reading
 * it. Each session serves one caller at a time, so there are at most as many sessions as there were concurrent callers.
 */
const idle = new Map<string, IdleSession[]>();

interface IdleSession {
  readonly session: Session;
  readonly timer: NodeJS.Timeout;
}

/**
 * Lends a session to `work`: one that waits under `key`, or else a new one from `open`. A session that failed or was aborted is
 * closed and never reused.
 */
export async function withPooledSession<T>(
  key: string,
  open: () => Promise<Session>,
  signal: AbortSignal,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = takeIdle(key, signal) ?? (await opened(key, open));
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

/** Closes the sessions that wait under `key`, so that they don't block a rename or a drop. */
export async function closeIdle(key: string): Promise<void> {
  const sessions = idle.get(key) ?? [];
  idle.delete(key);
  for (const { timer } of sessions) clearTimeout(timer);
  await Promise.all(sessions.map(({ session }) => session.close()));
}

/** Opens a session and forgets it when it is lost while waiting: its timer would keep a process alive that has nothing else to do. */
async function opened(key: string, open: () => Promise<Session>): Promise<Session> {
  const session = await open();
  void session.lost.then(() => forget(key, session));
  return session;
}

function forget(key: string, session: Session): void {
  const waiting = idle.get(key) ?? [];
  const place = waiting.findIndex((other) => other.session === session);
  if (place < 0) return;
  clearTimeout(waiting[place]?.timer);
  waiting.splice(place, 1);
  if (waiting.length === 0) idle.delete(key);
}

function takeIdle(key: string, signal: AbortSignal): Session | undefined {
  for (;;) {
    const waiting = idle.get(key)?.pop();
    if (waiting === undefined) return undefined;
    clearTimeout(waiting.timer);
    if (!waiting.session.broken) {
      waiting.session.adopt(signal);
      return waiting.session;
    }
  }
}

function keepIdle(key: string, session: Session): void {
  session.adopt(undefined);
  const waiting = idle.get(key) ?? [];
  const timer = setTimeout(() => {
    forget(key, session);
    void session.close();
  }, IDLE_MS);
  waiting.push({ session, timer });
  idle.set(key, waiting);
}
