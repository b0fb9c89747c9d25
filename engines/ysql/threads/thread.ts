import { serveThread } from '../../threads/serve.ts';
import { closeIdle } from '../server/session-pool.ts';
import type { ThreadJob } from './jobs.ts';
import { loadObjects } from './load-objects.ts';
import { readChunks } from './read-chunks.ts';

/** The entry file of a thread. */
serveThread<ThreadJob>((job, thread) => {
  switch (job.kind) {
    case 'read':
      return readChunks(job, thread);
    case 'load':
      return loadObjects(job, thread);
    case 'close':
      return closeIdle(job.sessions);
  }
});
