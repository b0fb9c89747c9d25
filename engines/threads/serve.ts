import { parentPort } from 'node:worker_threads';
import { type FromLane, type LogFields, type Part, packFailure, type ToLane } from './protocol.ts';

const PROGRESS_EVERY_MS = 500;

/** What a job may use of its lane. */
export interface LaneContext {
  readonly signal: AbortSignal;
  /** Tells how much is through (bytes or rows, as the engine counts); cheap, call it as often as you like. */
  progress(amount: number): void;
  log(message: string, fields?: LogFields): void;
  /** Lends a part out; resolves when it was taken, and its memory is ours again. */
  deliver(part: Part): Promise<void>;
}

/** What the entry of a lane's thread does: one job after another, told by messages. Once in a thread. */
export function serveLane<Job>(perform: (job: Job, lane: LaneContext) => Promise<void>): void {
  const port = parentPort;
  if (port === null) throw new Error('Lanes are threads');
  const send = (message: FromLane) => port.postMessage(message);
  let abort = new AbortController();
  let taken: (() => void) | undefined;

  const contextOf = (signal: AbortSignal): LaneContext => {
    let toldAt = 0;
    return {
      signal,
      progress: (amount) => {
        const now = performance.now();
        if (now - toldAt < PROGRESS_EVERY_MS) return;
        toldAt = now;
        send({ type: 'progress', amount });
      },
      log: (message, fields = {}) => send({ type: 'log', message, fields }),
      deliver: (part) =>
        new Promise((resolve, reject) => {
          // An abort that came before would never reach the listener, and this lane would wait for ever.
          signal.throwIfAborted();
          taken = resolve;
          signal.addEventListener('abort', () => reject(signal.reason), { once: true });
          send({ type: 'part', part });
        }),
    };
  };
  const answer = async (job: Job, lane: LaneContext): Promise<void> => {
    try {
      await perform(job, lane);
      send({ type: 'done' });
    } catch (error) {
      send({ type: 'failed', failure: packFailure(error) });
    }
  };

  port.on('message', (message: ToLane<Job>) => {
    if (message.type === 'abort') abort.abort();
    else if (message.type === 'taken') taken?.();
    else {
      abort = new AbortController();
      void answer(message.job, contextOf(abort.signal));
    }
  });
}
