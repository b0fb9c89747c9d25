import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdir, readdir, readFile, realpath, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { messageOf, permanent } from '../model/errors.ts';
import { programEnvironment } from '../model/program-environment.ts';
import { type Account, unprivilegedAccount } from './account.ts';
import { findOnPath, isProgram } from './path.ts';
import { freePort } from './ports.ts';
import { type FetchedVersion, findPostgresClients, findPostgresVersion } from './postgres-versions.ts';
import { startServer } from './process.ts';
import { createScratchFolder } from './scratch.ts';

/** Error code for a missing PostgreSQL server. */
export const POSTGRES_MISSING = 'POSTGRES_MISSING';

const SUPERUSER = 'postgres';
const DEBIAN_INSTALLATIONS = '/usr/lib/postgresql';

/** PostgreSQL's three ways to stop: wait for clients; end their sessions; stop as in a crash, with recovery at the next start. */
type StopMode = 'smart' | 'fast' | 'immediate';

const STOP_SIGNALS: Readonly<Record<StopMode, NodeJS.Signals>> = {
  smart: 'SIGTERM',
  fast: 'SIGINT',
  immediate: 'SIGQUIT',
};

/** Major version of the server. 15 stands for the installed one, which is 15 or newer. */
export type PostgresVersion = FetchedVersion | 15;

type PostgresOptions = {
  /** Default 15. The others are fetched (`postgres-versions.ts`). */
  readonly version?: PostgresVersion;
  /** The cluster's folder. An existing cluster is started again, and the folder stays after `stop`. Default: a scratch folder. */
  readonly directory?: string;
  readonly port?: number;
  /** Configuration parameters, e.g. `{ fsync: 'on' }`; they override `TEST_SETTINGS`. */
  readonly settings?: Readonly<Record<string, string>>;
};

/** A PostgreSQL server that can be stopped, killed and started again with its data. */
export type PostgresServer = {
  readonly host: string;
  readonly port: number;
  readonly superuser: string;
  readonly password: string;
  /** The folder of `psql`, `pg_dump` and the other client programs: the server's own for 15, the installed ones for 11, those of 18 for 16 to 18. */
  readonly binDirectory: string;
  readonly logFile: string;
  /** The postmaster's process id while it runs. */
  readonly pid: number | undefined;
  /** A connection URL as the superuser; `database` is `postgres` when left out. */
  url(database?: string): string;
  /** Stops the server (default `fast`) and removes its scratch folder, if it has one. */
  stop(mode?: StopMode): Promise<void>;
  /** Stops the server if it runs (default `fast`), and starts it on the same port with the same data. */
  restart(mode?: StopMode): Promise<void>;
  /** `kill -9` of the postmaster, whose backends follow. The data stay, for `restart`. */
  kill9(): Promise<void>;
};

/** Scratch data survive a crash of the server, which tests cause, but needn't survive a crash of the machine. */
const TEST_SETTINGS: Readonly<Record<string, string>> = {
  fsync: 'off',
  full_page_writes: 'off',
  max_wal_size: '4GB',
  // This leaves nothing in /dev/shm after a kill -9, and doesn't depend on its size, which is 64 MB in a container.
  dynamic_shared_memory_type: 'mmap',
};

/**
 * Starts a PostgreSQL server of our own on 127.0.0.1, with password authentication; never as root.
 *
 * @throws HoldfastError `POSTGRES_MISSING` where no server programs are installed, `SERVER_START` when it doesn't come up; for
 *   other versions than 15 also what `findPostgresVersion` throws
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const { version = 15 } = options;
  const installed = await findPostgresPrograms();
  const serverPrograms = version === 15 ? installed : await findPostgresVersion(version);
  const binDirectory = version === 15 || version === 11 ? installed : await findPostgresClients();
  const account = await unprivilegedAccount();
  const scratch =
    options.directory === undefined ? await createScratchFolder('postgres', account) : undefined;
  try {
    const directory = path.resolve(options.directory ?? scratch?.path ?? '');
    const password = await openCluster(directory, serverPrograms, account);
    const port = options.port ?? (await freePort());
    const host = '127.0.0.1';
    const url = (database = 'postgres') =>
      `postgresql://${SUPERUSER}:${password}@${host}:${port}/${encodeURIComponent(database)}`;
    const settings = { ...TEST_SETTINGS, ...options.settings };
    const server = await startServer({
      name: 'PostgreSQL',
      command: path.join(serverPrograms, 'postgres'),
      args: [
        '-D',
        path.join(directory, 'data'),
        '-h',
        host,
        '-p',
        String(port),
        '-c',
        'unix_socket_directories=',
        ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ],
      environment: { LC_ALL: 'C' },
      workingDirectory: directory,
      account,
      logFile: path.join(directory, 'postgres.log'),
      checkReady: () => checkAccepts(url()),
      // PostgreSQL's processes outlive a killed postmaster until they notice: each leads a session of its own.
      childrenRemain: /FATAL: {2}pre-existing shared memory block/,
      stopSignal: STOP_SIGNALS.fast,
      orphanSignal: STOP_SIGNALS.immediate,
    });
    return {
      host,
      port,
      superuser: SUPERUSER,
      password,
      binDirectory,
      logFile: server.logFile,
      get pid() {
        return server.pid;
      },
      url,
      async stop(mode = 'fast') {
        await server.stop(STOP_SIGNALS[mode]);
        await scratch?.remove();
      },
      async restart(mode = 'fast') {
        await server.stop(STOP_SIGNALS[mode]);
        await server.restart();
      },
      kill9: () => server.kill9(),
    };
  } catch (error) {
    await scratch?.remove();
    throw error;
  }
}

/**
 * Returns the folder of PostgreSQL's server programs: from PATH, otherwise Debian's newest.
 *
 * @throws HoldfastError `POSTGRES_MISSING`
 */
export async function findPostgresPrograms(): Promise<string> {
  const onPath = await findOnPath('initdb');
  // PATH may have only a link to one program; the folder of its target has all of them.
  if (onPath !== undefined) return path.dirname(await realpath(onPath));
  const versions = await readdir(DEBIAN_INSTALLATIONS).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  });
  for (const version of versions.sort((a, b) => Number(b) - Number(a))) {
    const candidate = path.join(DEBIAN_INSTALLATIONS, version, 'bin');
    if (await isProgram(path.join(candidate, 'initdb'))) return candidate;
  }
  throw permanent(
    POSTGRES_MISSING,
    `no PostgreSQL server on this machine: no \`initdb\` on PATH or under ${DEBIAN_INSTALLATIONS}`,
    'Install it: `apt-get install postgresql` on Debian and Ubuntu, `brew install postgresql` on macOS.',
  );
}

/** Creates the cluster unless it exists. Returns its superuser's password, which is kept beside it. */
async function openCluster(
  directory: string,
  binDirectory: string,
  account: Account | undefined,
): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const passwordFile = path.join(directory, 'superuser-password');
  const existing = await readFile(passwordFile, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (existing !== undefined) return existing;
  const password = randomBytes(12).toString('hex');
  const newPasswordFile = `${passwordFile}.new`;
  await writeFile(newPasswordFile, password, { mode: 0o600 });
  if (account !== undefined) {
    await chown(directory, account.uid, account.gid);
    await chown(newPasswordFile, account.uid, account.gid);
  }
  const args = ['-D', path.join(directory, 'data'), '-U', SUPERUSER, '--pwfile', newPasswordFile];
  args.push('--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--no-sync');
  try {
    await promisify(execFile)(path.join(binDirectory, 'initdb'), args, {
      env: { ...programEnvironment(process.env), LC_ALL: 'C' },
      cwd: directory,
      uid: account?.uid,
      gid: account?.gid,
    });
  } catch (error) {
    throw permanent(
      'POSTGRES_INITDB',
      `initdb could not make a database cluster in ${directory}: ${messageOf(error)}`,
      'Check free space and the permissions of the folders above it.',
      error,
    );
  }
  // Written last, so that the cluster of an interrupted run counts as unfinished.
  await writeFile(passwordFile, password, { mode: 0o600 });
  return password;
}

async function checkAccepts(url: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.end();
}
