import { parentPort } from 'node:worker_threads';
import { type FromThread, type LogFields, type Part, packFailure, type ToThread } from './protocol.ts';

const PROGRESS_EVERY_MS = 500;

/** What a job may use of its thread. */
export interface ThreadContext {
  readonly signal: AbortSignal;
  /** Reports the amount done (bytes or rows, as the engine counts). Cheap: call it as often as you like. */
  progress(amount: number): void;
  log(message: string, fields?: LogFields): void;
  /** Lends parts to the main thread, in their order. Resolves when it has taken them, and their memory is the thread's again. */
  deliver(...parts: readonly Part[]): Promise<void>;
}

/** What the entry file of a thread does: it performs one job after another, as messages bring them. Called once in a thread. */
export function serveThread<Job>(perform: (job: Job, thread: ThreadContext) => Promise<void>): void {
  const port = parentPort;
  if (port === null) throw new Error('serveThread runs in a worker thread only');
  const send = (message: FromThread) => port.postMessage(message);
  let abort = new AbortController();
  let taken: (() => void) | undefined;

  const contextOf = (signal: AbortSignal): ThreadContext => {
    let sentAt = 0;
    return {
      signal,
      progress: (amount) => {
        const now = performance.now();
        if (now - sentAt < PROGRESS_EVERY_MS) return;
        sentAt = now;
        send({ type: 'progress', amount });
      },
      log: (message, fields = {}) => send({ type: 'log', message, fields }),
      deliver: (...parts) =>
        new Promise((resolve, reject) => {
          // An abort that came before would never reach the listener, and this thread would wait for ever.
          signal.throwIfAborted();
          taken = resolve;
          signal.addEventListener('abort', () => reject(signal.reason), { once: true });
          send({ type: 'parts', parts });
        }),
    };
  };
  const answer = async (job: Job, thread: ThreadContext): Promise<void> => {
    try {
      await perform(job, thread);
      send({ type: 'done' });
    } catch (error) {
      send({ type: 'failed', failure: packFailure(error) });
    }
  };

  port.on('message', (message: ToThread<Job>) => {
    if (message.type === 'abort') abort.abort();
    else if (message.type === 'taken') taken?.();
    else {
      abort = new AbortController();
      void answer(message.job, contextOf(abort.signal));
    }
  });
}
