import { ThreadPool } from '../threads/pool.ts';
import type { ThreadJob } from './threads/jobs.ts';

/**
 * Writing rows makes many small short-lived objects. With half the heap of other threads a restore is as fast, and each thread takes 20 MiB less.
 */
const HEAP = { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 128 };

/** The threads of this process that move rows. Only the main thread uses it: no file that a thread loads may import this one. */
export const threads = new ThreadPool<ThreadJob>(new URL('./threads/thread', import.meta.url), HEAP);
