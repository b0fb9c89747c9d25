import { parentPort } from 'node:worker_threads';
import { closeIdle } from '../session-pool.ts';
import { loadObject } from './load-object.ts';
import { type FromLane, type LaneJob, type Part, packFailure, type ToLane } from './protocol.ts';
import { readChunk } from './read-chunk.ts';

/** The entry of a lane's thread: does one job after another, told by messages. */

const PROGRESS_EVERY_MS = 500;

/** What a job may use of its lane. */
export interface LaneContext {
  readonly signal: AbortSignal;
  /** Tells how many bytes of COPY text are through; cheap, call it as often as you like. */
  progress(bytes: number): void;
  /** Lends a part out; resolves when it was taken, and its memory is ours again. */
  deliver(part: Part): Promise<void>;
}

const port = parentPort;
if (port === null) throw new Error('This file is the entry of a thread');

const send = (message: FromLane) => port.postMessage(message);
let abort = new AbortController();
let taken: (() => void) | undefined;

port.on('message', (message: ToLane) => {
  if (message.type === 'abort') abort.abort();
  else if (message.type === 'taken') taken?.();
  else {
    abort = new AbortController();
    void answer(message.job, contextOf(abort.signal));
  }
});

async function answer(job: LaneJob, lane: LaneContext): Promise<void> {
  try {
    await perform(job, lane);
    send({ type: 'done' });
  } catch (error) {
    send({ type: 'failed', failure: packFailure(error) });
  }
}

function perform(job: LaneJob, lane: LaneContext): Promise<void> {
  switch (job.kind) {
    case 'read':
      return readChunk(job, lane);
    case 'load':
      return loadObject(job, lane);
    case 'close':
      return closeIdle(job.sessions);
  }
}

function contextOf(signal: AbortSignal): LaneContext {
  let toldAt = 0;
  return {
    signal,
    progress: (bytes) => {
      const now = performance.now();
      if (now - toldAt < PROGRESS_EVERY_MS) return;
      toldAt = now;
      send({ type: 'progress', bytes });
    },
    deliver: (part) =>
      new Promise((resolve, reject) => {
        // An abort that came before would never reach the listener, and this lane would wait for ever.
        signal.throwIfAborted();
        taken = resolve;
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
        send({ type: 'part', part });
      }),
  };
}
