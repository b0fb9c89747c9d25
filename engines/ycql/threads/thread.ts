import { serveLane } from '../../threads/serve.ts';
import type { LaneJob } from './jobs.ts';
import { loadObject } from './load-object.ts';
import { readChunk } from './read-chunk.ts';

/** The entry of a lane's thread. */
serveLane<LaneJob>((job, lane) => (job.kind === 'read' ? readChunk(job, lane) : loadObject(job, lane)));
