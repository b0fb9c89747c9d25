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

/** What stands at a path: a program, none, or one that doesn't run, with the reason. */
export type Identity = Program | 'absent' | { readonly broken: string };

/**
 * Identities by path and time of change: asking costs a process each, and a program that is replaced under a running worker is
 * asked anew.
 */
const known = new Map<string, Program>();

/** A program says what it is at once, unless the machine is very busy. */
const ANSWER_MS = 60_000;

/** Asks the program at `path` what it is. Never throws for what the program does. */
export async function identify(path: string): Promise<Identity> {
  const stamp = await stampOf(path);
  if (stamp === undefined) return await whyNoProgram(path);
  const before = known.get(stamp);
  if (before !== undefined) return before;
  const identity = await askBanner(path);
  // What didn't answer may do so the next time.
  if (typeof identity === 'object' && 'major' in identity) known.set(stamp, identity);
  return identity;
}

/** Path, time of change and size of an executable file, which together name one build; undefined where there is none. */
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

/** A file that may not be run is named as one: nobody looks for it where it was not found. */
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
 * `ysql_dump` and `ysql_dumpall` say `(YSQL) 15.12-YB-…` in every release, and `ysqlsh` says `psql (PostgreSQL) …`
 * (YugabyteDB's pg_dump.c and pg_dumpall.c; docs/yugabytedb.md, M1). So the banner decides for a dump, and the file's
 * name for a shell.
 */
export function readBanner(path: string, banner: string): Program | undefined {
  const [, made, version, major] = /\((YSQL|PostgreSQL)\) ((\d+)\S*)/.exec(banner) ?? [];
  if (made === undefined || version === undefined) return undefined;
  const isYugabytes = made === 'YSQL' || basename(path) === 'ysqlsh';
  return { path, product: isYugabytes ? 'yugabytedb' : 'postgresql', version, major: Number(major) };
}

/** True where YugabyteDB's release of `version` is older than that of `other`; false where either names none. */
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
