import { connect } from 'node:net';
import { messageOf, transient } from '../../model/errors.ts';
import { workerIdentity } from '../worker-identity.ts';

const PATIENCE_MS = 5_000;

/**
 * Makes sure that this worker reaches a master of the universe, within five seconds. yb-admin would try for minutes. For so long a worker that
 * can't reach the universe would hold a task that another worker of the same queue could do.
 *
 * @param masters `host:port` of each
 * @throws HoldfastError `UNIVERSE_OUT_OF_REACH` (transient: another worker of the queue may take the next attempt)
 */
export async function requireReach(masters: readonly string[], signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const limit = AbortSignal.any([signal, over.signal, AbortSignal.timeout(PATIENCE_MS)]);
  try {
    await Promise.any(masters.map((master) => reach(master, limit)));
  } catch (error) {
    signal.throwIfAborted();
    const reasons = error instanceof AggregateError ? error.errors.map(messageOf) : [messageOf(error)];
    throw transient(
      'UNIVERSE_OUT_OF_REACH',
      `The worker ${workerIdentity().identity} reaches none of the masters ${masters.join(', ')}: ${[...new Set(reasons)].join('; ')}`,
      'Start the masters, or mend the network between them and this worker. Where workers of several universes share a task queue, give those of each universe one of their own (HOLDFAST_TASK_QUEUE), or let every worker reach all of them.',
      error,
    );
  } finally {
    over.abort();
  }
}

function reach(master: string, signal: AbortSignal): Promise<void> {
  const colon = master.lastIndexOf(':');
  const host = master.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect({ host, port: Number(master.slice(colon + 1)) });
  const giveUp = () => socket.destroy(new Error(`no answer within ${PATIENCE_MS / 1_000} s`));
  signal.addEventListener('abort', giveUp, { once: true });
  socket.once('connect', () => resolve());
  socket.once('error', reject);
  return promise.finally(() => {
    signal.removeEventListener('abort', giveUp);
    socket.destroy();
  });
}
