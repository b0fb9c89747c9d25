import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { messageOf, permanent } from '../model/errors.ts';
import { unprivilegedAccount } from './account.ts';
import { type PostgresServer, startPostgres } from './postgres.ts';
import { createScratchFolder } from './scratch.ts';

/**
 * Starts a hot standby of a server of ours, from a base backup. It has the same users and passwords; stopping it removes it.
 *
 * @throws HoldfastError `STANDBY_COPY` when the base backup fails, `SERVER_START`
 */
export async function startStandby(primary: PostgresServer): Promise<PostgresServer> {
  const account = await unprivilegedAccount();
  const scratch = await createScratchFolder('standby', account);
  try {
    const program = path.join(primary.binDirectory, 'pg_basebackup');
    const data = path.join(scratch.path, 'data');
    try {
      await promisify(execFile)(
        program,
        ['-D', data, '-R', '-X', 'stream', '-c', 'fast', '--no-sync', '-d', primary.url()],
        { cwd: scratch.path, uid: account?.uid, gid: account?.gid },
      );
    } catch (error) {
      throw permanent(
        'STANDBY_COPY',
        `${program} could not copy the primary: ${messageOf(error)}`,
        'Check free space.',
        error,
      );
    }
    // Makes the folder look like a cluster that `startPostgres` created.
    await writeFile(path.join(scratch.path, 'superuser-password'), primary.password, { mode: 0o600 });
    const server = await startPostgres({ directory: scratch.path });
    return {
      ...server,
      get pid() {
        return server.pid;
      },
      async stop(mode) {
        await server.stop(mode);
        await scratch.remove();
      },
    };
  } catch (error) {
    await scratch.remove();
    throw error;
  }
}
