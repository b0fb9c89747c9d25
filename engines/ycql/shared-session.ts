import { hash } from 'node:crypto';
import type { VerbContext } from '../engine.ts';
import { connect, type SessionNeeds } from './connect.ts';
import { limitMemory } from './load-limit.ts';
import type { CqlSession } from './session.ts';
import type { CqlTarget } from './target.ts';

/** An idle session waits this long for its next use before it closes. */
const IDLE_MS = 800;

interface Shared {
  readonly session: Promise<CqlSession>;
  users: number;
  timer?: NodeJS.Timeout;
}

const shared = new Map<string, Shared>();

const limits = new Map<string, SharedArrayBuffer>();

/** Memory of the limit that all threads of this process share for a source. Call it in the main thread. */
export function sharedLimit(target: CqlTarget, { load }: SessionNeeds): SharedArrayBuffer {
  const key = hashOf([target, load]);
  const memory = limits.get(key) ?? limitMemory();
  limits.set(key, memory);
  return memory;
}

/**
 * Lends this thread's session with a cluster to `work`. The session stays open a moment longer for the next use. In a thread of the pool, `memory`
 * is the main thread's `sharedLimit`.
 */
export async function withSession<T>(
  verb: Pick<VerbContext, 'signal' | 'log'>,
  target: CqlTarget,
  source: SessionNeeds,
  work: (session: CqlSession) => Promise<T>,
  memory = sharedLimit(target, source),
): Promise<T> {
  const key = hashOf([target, source.consistencyLevel, source.load]);
  const mine = shared.get(key) ?? open(key, connect(freeOf(verb), target, source, memory));
  mine.users += 1;
  clearTimeout(mine.timer);
  try {
    return await work(await mine.session);
  } finally {
    mine.users -= 1;
    if (mine.users === 0) mine.timer = setTimeout(() => void leave(key, mine), IDLE_MS);
  }
}

/** A context without the caller's signal: others may wait for the same connection, so an abort of the first caller must not end it. */
function freeOf({ log }: Pick<VerbContext, 'log'>): Pick<VerbContext, 'signal' | 'log'> {
  return { signal: new AbortController().signal, log };
}

/** A key that distinguishes sources without keeping their credentials. */
function hashOf(facts: readonly unknown[]): string {
  return hash('sha256', JSON.stringify(facts));
}

function open(key: string, session: Promise<CqlSession>): Shared {
  const made: Shared = { session, users: 0 };
  session.catch(() => {
    if (shared.get(key) === made) shared.delete(key);
  });
  shared.set(key, made);
  return made;
}

async function leave(key: string, mine: Shared): Promise<void> {
  if (mine.users > 0) return;
  if (shared.get(key) === mine) shared.delete(key);
  const session = await mine.session.catch(() => undefined); // a failure to connect was thrown to those who waited
  await session?.close();
}
