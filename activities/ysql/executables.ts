import { execFile, spawn } from 'node:child_process';
import { access, constants, readdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf, permanent, READ_POINT_LOST, transient } from '../../model/errors.ts';
import { type ConnectionTarget, libpqEnvironment } from './connection-url.ts';
import type { Server } from './server.ts';

const DEBIAN_INSTALLATIONS = '/usr/lib/postgresql';

/** YugabyteDB's program and PostgreSQL's original of each kind. */
const PROGRAMS = {
  dump: { yugabytedb: 'ysql_dump', postgresql: 'pg_dump' },
  dumpall: { yugabytedb: 'ysql_dumpall', postgresql: 'pg_dumpall' },
  shell: { yugabytedb: 'ysqlsh', postgresql: 'psql' },
} as const;

export type ProgramKind = keyof typeof PROGRAMS;

/** A program that can dump the server in question. */
export interface Executable {
  readonly path: string;
  readonly major: number;
}

/**
 * Finds the program for `server`: in `HOLDFAST_YB_BIN`, then on PATH, then in Debian's folders; of the server's own product
 * before the other, and of its own major version before a newer one, whose scripts an older server may not understand.
 * Throws `DUMP_PROGRAM_MISSING` or `DUMP_PROGRAM_TOO_OLD` (permanent).
 */
export async function findExecutable(kind: ProgramKind, server: Server): Promise<Executable> {
  const names = PROGRAMS[kind];
  const own = names[server.product];
  const other = server.product === 'yugabytedb' ? names.postgresql : names.yugabytedb;
  const folders = await programFolders();
  const candidates = [own, other].flatMap((name) =>
    folders.map((folder) => ({ name, path: join(folder, name) })),
  );
  const asked = await Promise.all(
    candidates.map(async ({ name, path }) => ({ path, own: name === own, major: await majorVersion(path) })),
  );
  const found = asked.flatMap(({ major, ...program }) =>
    major === undefined ? [] : [{ ...program, major }],
  );
  const usable = found
    .filter(({ major }) => major >= server.major)
    .sort((a, b) => Number(b.own) - Number(a.own) || a.major - b.major);
  const [best] = usable;
  if (best !== undefined) return best;
  if (found.length === 0) {
    throw permanent(
      'DUMP_PROGRAM_MISSING',
      `Found neither ${own} nor ${other} on this worker (looked in HOLDFAST_YB_BIN, PATH and ${DEBIAN_INSTALLATIONS})`,
      `Install the client programs of version ${server.major} or newer, or set HOLDFAST_YB_BIN to the folder that has ${own}.`,
    );
  }
  const versions = found.map(({ path, major }) => `${path} (${major})`).join(', ');
  throw permanent(
    'DUMP_PROGRAM_TOO_OLD',
    `The server is version ${server.version}, but this worker only has older programs: ${versions}`,
    `Install ${own} of version ${server.major} or newer, or set HOLDFAST_YB_BIN to the folder that has it.`,
  );
}

async function programFolders(): Promise<readonly string[]> {
  const configured = process.env.HOLDFAST_YB_BIN;
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return [...(configured === undefined ? [] : [configured]), ...(await debianFolders()), ...path];
}

async function debianFolders(): Promise<readonly string[]> {
  try {
    const versions = await readdir(DEBIAN_INSTALLATIONS);
    return versions.map((version) => join(DEBIAN_INSTALLATIONS, version, 'bin'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

/** Versions by path: asking costs a process each, and an installed program doesn't change under a running worker. */
const knownVersions = new Map<string, number>();

/** Undefined where there is no such program. */
async function majorVersion(path: string): Promise<number | undefined> {
  try {
    await access(path, constants.X_OK);
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
  const known = knownVersions.get(path);
  if (known !== undefined) return known;
  try {
    const { stdout } = await promisify(execFile)(path, ['--version']);
    const [, major] = /\(PostgreSQL\) (\d+)/.exec(stdout) ?? [];
    if (major === undefined) return undefined;
    knownVersions.set(path, Number(major));
    return Number(major);
  } catch (cause) {
    throw permanent(
      'DUMP_PROGRAM_BROKEN',
      `${path} --version failed: ${messageOf(cause)}`,
      'Repair or remove that program.',
      cause,
    );
  }
}

/** True where the program's help names the option. */
export async function hasOption(executable: Executable, option: string): Promise<boolean> {
  const { stdout } = await promisify(execFile)(executable.path, ['--help'], { maxBuffer: 1024 * 1024 });
  return stdout.includes(option);
}

const STDERR_KEPT_CHARACTERS = 4_000;

/**
 * Runs a dump program against `database` and returns what it wrote. The password goes by environment. Throws a `HoldfastError`
 * with the end of what the program said.
 */
export async function runProgram(
  executable: Executable,
  target: ConnectionTarget,
  database: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<Buffer> {
  const environment = { ...process.env, ...libpqEnvironment(target, database), LC_ALL: 'C' };
  const child = spawn(executable.path, args, { env: environment, stdio: ['ignore', 'pipe', 'pipe'], signal });
  const output: Buffer[] = [];
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-STDERR_KEPT_CHARACTERS);
  });
  const ended = await new Promise<{ readonly code: number | null; readonly error?: Error }>((resolve) => {
    child.on('error', (error) => resolve({ code: null, error }));
    child.on('close', (code) => resolve({ code }));
  });
  signal.throwIfAborted();
  if (ended.code === 0) return Buffer.concat(output);
  throw programError(executable.path, said.trim() || messageOf(ended.error ?? `exit code ${ended.code}`));
}

function programError(path: string, said: string): Error {
  const message = `${path} failed: ${said}`;
  if (/invalid snapshot identifier|could not import the requested snapshot|snapshot too old/i.test(said)) {
    return permanent(READ_POINT_LOST, message, 'A new read point is opened and the export starts over.');
  }
  if (/password authentication failed|no password supplied/i.test(said)) {
    return permanent(
      'YSQL_FAILED',
      message,
      'Check the user and password in the connection that the plan names.',
    );
  }
  if (
    /connection to server|could not connect|server closed the connection|terminating connection|lock timeout|deadlock detected/i.test(
      said,
    )
  ) {
    return transient('YSQL_UNAVAILABLE', message, 'Check that the database server runs and is reachable.');
  }
  return permanent('YSQL_DUMP_FAILED', message, "Read the program's message above and repair what it names.");
}
