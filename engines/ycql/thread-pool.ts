import { ThreadPool } from '../threads/pool.ts';
import type { ThreadJob } from './threads/jobs.ts';

/**
 * Rows that are written are many small objects, all of use for a moment only: with half of what threads have otherwise a restore is as
 * fast, and each thread takes 20 MiB less.
 */
const HEAP = { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 128 };

/** The threads of this process that move rows. For the main thread alone: no file that a thread loads may import this one. */
export const threads = new ThreadPool<ThreadJob>(new URL('./threads/thread', import.meta.url), HEAP);
