import { LanePool } from '../threads/pool.ts';
import type { LaneJob } from './threads/jobs.ts';

/** The threads of this process that move rows. For the main thread alone: no file that a thread loads may import this one. */
export const lanes = new LanePool<LaneJob>(new URL('./threads/thread', import.meta.url));
