import path from 'node:path';
import { startServer } from '../../parts/process.ts';
import { createScratchFolder } from '../../parts/scratch.ts';

/** Far more than it takes: what fails here waits for ever. */
const LONGEST_MS = 60_000;

test(
  'a program that ends at once is seen to have ended',
  async () => {
    const scratch = await createScratchFolder('short-lived');
    try {
      const logFile = path.join(scratch.path, 'log');
      for (let round = 0; round < 100; round++) {
        // Either it ended before it was looked at, or it is waited for.
        const ended = startServer({ name: 'the program', command: '/bin/true', args: [], logFile }).then(
          (server) => server.waitForExit(),
          (error: unknown) => error,
        );
        await expect(ended).resolves.toMatchObject(
          (await ended) instanceof Error ? { code: 'SERVER_START' } : { code: 0, signal: null },
        );
      }
    } finally {
      await scratch.remove();
    }
  },
  LONGEST_MS,
);
