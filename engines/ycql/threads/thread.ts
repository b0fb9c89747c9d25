import { serveThread } from '../../threads/serve.ts';
import type { ThreadJob } from './jobs.ts';
import { loadObject } from './load-object.ts';
import { readChunk } from './read-chunk.ts';

/** The entry file of a thread. */
serveThread<ThreadJob>((job, thread) =>
  job.kind === 'read' ? readChunk(job, thread) : loadObject(job, thread),
);
