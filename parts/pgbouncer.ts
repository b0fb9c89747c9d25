import { existsSync } from 'node:fs';
import { chown, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Client } from 'pg';
import { permanent } from '../model/errors.ts';
import { unprivilegedAccount } from './account.ts';
import { orInstall, type Report } from './debian.ts';
import { findOnPath, isProgram } from './path.ts';
import { freePort } from './ports.ts';
import type { PostgresServer } from './postgres.ts';
import { startServer } from './process.ts';
import { createScratchFolder } from './scratch.ts';

/** Code of the error where pgbouncer isn't installed. */
const PGBOUNCER_MISSING = 'PGBOUNCER_MISSING';

/** Debian installs it in a folder that isn't on an ordinary user's PATH. */
const DEBIAN_PROGRAM = '/usr/sbin/pgbouncer';

/** True if pgbouncer is there or can be installed by Debian's package. Otherwise the tests that need it are skipped. */
export const PGBOUNCER_RUNS_HERE =
  existsSync(DEBIAN_PROGRAM) || (existsSync('/usr/bin/apt-get') && process.getuid?.() === 0);

/** When a pooler takes a server session back from a client: at the end of each transaction, or when the client's session ends. */
export type PoolMode = 'transaction' | 'session';

/** A running pgbouncer. */
export type Pooler = {
  /** A connection URL through the pooler, as the server's superuser. */
  url(database?: string): string;
  stop(): Promise<void>;
};

/**
 * Starts a pgbouncer in front of one of our PostgreSQL servers.
 *
 * @throws HoldfastError `PGBOUNCER_MISSING`, `SERVER_START`
 */
export async function startPgbouncer(server: PostgresServer, mode: PoolMode): Promise<Pooler> {
  const command = await findPgbouncer();
  const account = await unprivilegedAccount();
  const scratch = await createScratchFolder('pgbouncer', account);
  const port = await freePort();
  const write = async (name: string, text: string) => {
    const file = path.join(scratch.path, name);
    await writeFile(file, text, { mode: 0o600 });
    if (account !== undefined) await chown(file, account.uid, account.gid);
    return file;
  };
  try {
    const users = await write('users.txt', `"${server.superuser}" "${server.password}"\n`);
    const settings = await write(
      'pgbouncer.ini',
      `[databases]
* = host=${server.host} port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = plain
auth_file = ${users}
pool_mode = ${mode}
max_client_conn = 200
default_pool_size = 40
ignore_startup_parameters = extra_float_digits,options,search_path
`,
    );
    const url = (database = 'postgres') =>
      `postgresql://${server.superuser}:${server.password}@127.0.0.1:${port}/${encodeURIComponent(database)}`;
    const pooler = await startServer({
      name: 'pgbouncer',
      command,
      args: [settings],
      workingDirectory: scratch.path,
      account,
      logFile: path.join(scratch.path, 'pgbouncer.log'),
      async checkReady() {
        const client = new Client({ connectionString: url() });
        await client.connect();
        await client.end();
      },
      stopSignal: 'SIGTERM',
    });
    return {
      url,
      async stop() {
        await pooler.stop();
        await scratch.remove();
      },
    };
  } catch (error) {
    await scratch.remove();
    throw error;
  }
}

/**
 * Finds pgbouncer; as root on Debian it installs it if it is missing.
 *
 * @throws HoldfastError `PGBOUNCER_MISSING`
 */
async function findPgbouncer(report?: Report): Promise<string> {
  return await orInstall(find, [PGBOUNCER_MISSING], ['pgbouncer'], report);
}

async function find(): Promise<string> {
  const onPath = await findOnPath('pgbouncer');
  if (onPath !== undefined) return onPath;
  if (await isProgram(DEBIAN_PROGRAM)) return DEBIAN_PROGRAM;
  throw permanent(
    PGBOUNCER_MISSING,
    `no pgbouncer on PATH or at ${DEBIAN_PROGRAM}`,
    'Install it: `apt-get install pgbouncer` on Debian and Ubuntu.',
  );
}
