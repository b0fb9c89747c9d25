import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { startPostgres } from '../../parts/postgres.ts';
import { query } from '../support/sql.ts';

/** A session that is not lost waits two seconds. */
const BEFORE_ITS_TIME_MS = 1_500;

test('a session that is lost while it waits for its next use keeps no process up', async () => {
  const server = await startPostgres();
  try {
    const child = spawn(
      process.execPath,
      [path.join(import.meta.dirname, 'pooled-process.ts'), server.url()],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const ended = once(child, 'exit');
    await once(child.stdout, 'data');
    const at = Date.now();
    await query(
      server.url(),
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()',
    );
    await expect(ended).resolves.toEqual([0, null]);
    expect(Date.now() - at).toBeLessThan(BEFORE_ITS_TIME_MS);
  } finally {
    await server.stop();
  }
});
