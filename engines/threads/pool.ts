import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ResourceLimits, Worker } from 'node:worker_threads';
import { transient } from '../../model/errors.ts';
import { cacheFolder } from '../cache-folder.ts';
import { type FromThread, type LogFields, type Part, type ToThread, unpackFailure } from './protocol.ts';

/*
 * Rows are read, compressed, hashed, decompressed and written in threads of their own, one job at a time in each. A job's
 * bytes then pass from the socket to the compressor in one thread, in memory that is used again, and the main thread is left
 * to Temporal and the store. Measured against one thread and zstd's streams: a fifth less CPU of the worker for a backup.
 */

/** An idle thread is ended after this long; it holds a few MiB. */
const IDLE_MS = 60_000;
/**
 * A thread needs about 20 MiB of heap; rows are outside of it. Its garbage is short-lived: by default a thread lets 200 MiB of it pile up before it
 * collects, and saves no work by that. The old generation stays far below its bound, but the bound makes the collector begin earlier.
 */
const HEAP: ResourceLimits = { maxYoungGenerationSizeMb: 16, maxOldGenerationSizeMb: 256 };
/**
 * Node's compile cache for the TypeScript of a checkout, valid while the sources are the same. A thread that finds its code there takes 13 MiB less
 * than one that has to compile.
 */
const COMPILED = cacheFolder('compiled');

interface JobOptions {
  readonly signal: AbortSignal;
  /** Amount done so far, as the engine counts. */
  onProgress?(amount: number): void;
  onLog?(message: string, fields: LogFields): void;
  /** Takes a part. The thread waits until all parts that it lent out together are taken. `part.body` may not be used afterwards. */
  onPart?(part: Part): Promise<void>;
}

/** The threads of one engine. */
export class ThreadPool<Job> {
  readonly #entry: URL;
  readonly #heap: ResourceLimits;
  readonly #idle: RowThread<Job>[] = [];

  /** @param entry file of the threads, without `.ts` or `.js`; it calls `serveThread` */
  constructor(entry: URL, heap: ResourceLimits = HEAP) {
    this.#entry = entry;
    this.#heap = heap;
  }

  /** Runs a job in a thread that is free, or a new one. Rejects with what failed in the thread, or with the signal's reason. */
  async run(job: Job, options: JobOptions): Promise<void> {
    options.signal.throwIfAborted();
    await this.#runIn(this.#idle.pop() ?? this.#start(), job, options);
  }

  /** Runs a job in every thread that is idle now. */
  async runInIdle(job: Job, options: JobOptions): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((thread) => this.#runIn(thread, job, options)));
  }

  #start(): RowThread<Job> {
    const extension = import.meta.url.endsWith('.js') ? 'js' : 'ts';
    return new RowThread(`${fileURLToPath(this.#entry)}.${extension}`, this.#heap, this.#idle);
  }

  async #runIn(thread: RowThread<Job>, job: Job, options: JobOptions): Promise<void> {
    try {
      await thread.run(job, options);
    } finally {
      if (thread.alive) thread.rest();
    }
  }
}

/** One thread with at most one job. */
class RowThread<Job> {
  alive = true;
  readonly #thread: Worker;
  readonly #idle: RowThread<Job>[];
  #onMessage: (message: FromThread) => void = () => undefined;
  #onEnd: (error: Error) => void = () => undefined;
  #expiry: NodeJS.Timeout | undefined;

  /** @param idle the list in which it waits between jobs */
  constructor(entry: string, heap: ResourceLimits, idle: RowThread<Job>[]) {
    this.#idle = idle;
    const compiled = extname(entry) === '.ts' ? { NODE_COMPILE_CACHE: COMPILED } : {};
    this.#thread = new Worker(entry, { resourceLimits: heap, env: { ...compiled, ...process.env } });
    this.#thread.on('message', (message: FromThread) => this.#onMessage(message));
    this.#thread.on('error', (error) => this.#ended(error));
    this.#thread.on('exit', (code) => this.#ended(new Error(`the thread ended with code ${code}`)));
  }

  /** Settles when the thread has answered, even after an abort or a part that could not be taken: then the thread is free again. */
  async run(job: Job, { signal, onProgress, onLog, onPart }: JobOptions): Promise<void> {
    clearTimeout(this.#expiry);
    this.#thread.ref();
    const answered = Promise.withResolvers<void>();
    const abort = () => this.#send({ type: 'abort' });
    let failedToTake: { readonly error: unknown } | undefined;
    this.#onEnd = (error) => answered.reject(threadEnded(error));
    this.#onMessage = (message) => {
      if (message.type === 'done') answered.resolve();
      else if (message.type === 'failed') answered.reject(unpackFailure(message.failure));
      else if (message.type === 'progress') onProgress?.(message.amount);
      else if (message.type === 'log') onLog?.(message.message, message.fields);
      else {
        this.#take(message.parts, onPart).catch((error: unknown) => {
          failedToTake = { error };
          abort();
        });
      }
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      this.#send({ type: 'job', job });
      await answered.promise;
    } catch (error) {
      signal.throwIfAborted();
      throw failedToTake === undefined ? error : failedToTake.error;
    } finally {
      signal.removeEventListener('abort', abort);
      this.#onEnd = () => undefined;
      this.#onMessage = () => undefined;
    }
  }

  /** Waits for the next job, and ends when none comes. Never keeps the process alive. */
  rest(): void {
    this.#thread.unref();
    this.#expiry = setTimeout(() => {
      this.#idle.splice(this.#idle.indexOf(this), 1);
      void this.#thread.terminate();
    }, IDLE_MS).unref();
    this.#idle.push(this);
  }

  async #take(parts: readonly Part[], onPart: JobOptions['onPart']): Promise<void> {
    for (const part of parts) await onPart?.(part);
    this.#send({ type: 'taken' });
  }

  #send(message: ToThread<Job>): void {
    if (this.alive) this.#thread.postMessage(message);
  }

  #ended(error: Error): void {
    this.alive = false;
    clearTimeout(this.#expiry);
    const place = this.#idle.indexOf(this);
    if (place >= 0) this.#idle.splice(place, 1);
    this.#onEnd(error);
  }
}

function threadEnded(error: Error) {
  return transient(
    // Such a thread was once called a lane. The code stays, since histories contain it.
    'LANE_DIED',
    `A thread that moves rows has ended: ${error.message}`,
    'It is tried again in a new one; if this repeats, give the worker more memory or fewer slots (`--lanes`).',
    error,
  );
}
