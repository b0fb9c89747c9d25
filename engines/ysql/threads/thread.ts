import { serveLane } from '../../threads/serve.ts';
import { closeIdle } from '../server/session-pool.ts';
import type { LaneJob } from './jobs.ts';
import { loadObjects } from './load-objects.ts';
import { readChunk } from './read-chunk.ts';

/** The entry of a lane's thread. */
serveLane<LaneJob>((job, lane) => {
  switch (job.kind) {
    case 'read':
      return readChunk(job, lane);
    case 'load':
      return loadObjects(job, lane);
    case 'close':
      return closeIdle(job.sessions);
  }
});
