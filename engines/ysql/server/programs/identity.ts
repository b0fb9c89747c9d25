import { execFile } from 'node:child_process';
import { access, constants, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../../../../model/errors.ts';
import { programEnvironment } from '../../../../model/program-environment.ts';
import type { Product } from '../server.ts';

/** A client program as its banner describes it. */
export interface Program {
  readonly path: string;
  readonly product: Product;
  /** As in the banner, e.g. `15.18` or `15.12-YB-2025.2.1.0-b0`. */
  readonly version: string;
  /** PostgreSQL's major version. */
  readonly major: number;
}

/** What is at a path: a program, nothing, or a program that doesn't run, with the reason. */
export type Identity = Program | 'absent' | { readonly broken: string };

/**
 * Known programs by `stampOf`: asking costs a process each time, and a program that is replaced while the worker runs must be
 * asked again.
 */
const known = new Map<string, Program>();

/** How long a program may take to answer: it answers at once, unless the machine is very busy. */
const ANSWER_MS = 60_000;

/** Asks the program at `path` what it is. Never throws because of what the program does. */
export async function identify(path: string): Promise<Identity> {
  const stamp = await stampOf(path);
  if (stamp === undefined) return await whyNoProgram(path);
  const before = known.get(stamp);
  if (before !== undefined) return before;
  const identity = await askBanner(path);
  // A program that didn't answer may answer next time, so only answers are kept.
  if (typeof identity === 'object' && 'major' in identity) known.set(stamp, identity);
  return identity;
}

/** Returns path, modification time, size and inode of an executable file, which together identify one build; undefined when there is none. */
export async function stampOf(path: string): Promise<string | undefined> {
  try {
    await access(path, constants.X_OK);
    const { mtimeMs, size, ino } = await stat(path);
    return `${path}\0${mtimeMs}\0${size}\0${ino}`;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}

/** Says why no program can run at this path. A file without execute permission is reported as broken, not as absent, so that the operator finds it. */
async function whyNoProgram(path: string): Promise<Identity> {
  try {
    await stat(path);
    return { broken: 'the worker may not execute it' };
  } catch (error) {
    if (error instanceof Error && 'code' in error) return 'absent';
    throw error;
  }
}

async function askBanner(path: string): Promise<Identity> {
  try {
    const { stdout } = await promisify(execFile)(path, ['--version'], {
      timeout: ANSWER_MS,
      env: programEnvironment(process.env),
    });
    return readBanner(path, stdout) ?? { broken: `it says of itself ${JSON.stringify(stdout.trim())}` };
  } catch (error) {
    return { broken: messageOf(error) };
  }
}

/**
 * Reads a program's banner; undefined when it isn't one. `ysql_dump` and `ysql_dumpall` print `(YSQL) 15.12-YB-…` in every
 * release, but `ysqlsh` prints `psql (PostgreSQL) …` (YugabyteDB's pg_dump.c and pg_dumpall.c; docs/yugabytedb.md, M1). So the
 * banner identifies a dump program, and the file's name a shell.
 */
export function readBanner(path: string, banner: string): Program | undefined {
  const [, made, version, major] = /\((YSQL|PostgreSQL)\) ((\d+)\S*)/.exec(banner) ?? [];
  if (made === undefined || version === undefined) return undefined;
  const isYugabytes = made === 'YSQL' || basename(path) === 'ysqlsh';
  return { path, product: isYugabytes ? 'yugabytedb' : 'postgresql', version, major: Number(major) };
}

/** True when the YugabyteDB release in `version` is older than that in `other`; false when either names no release. */
export function isOlderRelease(version: string, other: string): boolean {
  const [own, others] = [releaseOf(version), releaseOf(other)];
  if (own === undefined || others === undefined) return false;
  for (const [index, number] of own.entries()) {
    const difference = number - (others[index] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** `15.12-YB-2025.2.1.0-b0` → 2025, 2, 1, 0, 0. */
function releaseOf(version: string): readonly number[] | undefined {
  const [, release] = /-YB-(\d+(?:\.\d+)*(?:-b\d+)?)/.exec(version) ?? [];
  return release?.split(/[.-]b?/).map(Number);
}
