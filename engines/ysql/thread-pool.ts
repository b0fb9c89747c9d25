import { ThreadPool } from '../threads/pool.ts';
import type { ThreadJob } from './threads/jobs.ts';

/** The threads of this process that move rows. Only the main thread may use it: no file that a thread loads may import this one. */
export const threads = new ThreadPool<ThreadJob>(new URL('./threads/thread', import.meta.url));
