import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { permanent } from '../../../../model/errors.ts';
import type { Product, Server } from '../server.ts';
import { configuredFolders, PROGRAM_FOLDER_VARIABLE, postgresFolders, yugabyteFolders } from './folders.ts';
import { identify, isOlderRelease, type Program } from './identity.ts';

/** YugabyteDB's program of each kind, and the PostgreSQL program that it derives from. */
const PROGRAMS = {
  dump: { yugabytedb: 'ysql_dump', postgresql: 'pg_dump' },
  dumpall: { yugabytedb: 'ysql_dumpall', postgresql: 'pg_dumpall' },
  shell: { yugabytedb: 'ysqlsh', postgresql: 'psql' },
} as const;

type ProgramKind = keyof typeof PROGRAMS;

/** A program that was found for a purpose. */
export interface FoundProgram extends Program {
  readonly kind: ProgramKind;
}

/**
 * Finds the program for `server` on this machine. It must be of `product`, by default the server's own product; a program of the
 * other product never replaces it. Among programs that are new enough it prefers one from `HOLDFAST_YB_BIN`, then the lowest
 * PostgreSQL version, because the server understands its scripts, then the newest YugabyteDB release.
 *
 * @throws HoldfastError `DUMP_PROGRAM_MISSING`, `DUMP_PROGRAM_TOO_OLD`, `DUMP_PROGRAM_BROKEN` (permanent)
 */
export async function findProgram(
  kind: ProgramKind,
  server: Server,
  product: Product = server.product,
): Promise<FoundProgram> {
  const name = PROGRAMS[kind][product];
  const folders = product === 'yugabytedb' ? yugabyteFolders() : await postgresFolders();
  const asked = await Promise.all(folders.map((folder) => identify(join(folder, name))));
  const found = asked.filter(isProgram).filter((program) => program.product === product);
  const [best] = found.filter(({ major }) => major >= server.major).sort(byPreference);
  if (best !== undefined) return { ...best, kind };
  if (found.length > 0) throw tooOld(name, server, found);
  const broken = folders.flatMap((folder, index) => {
    const identity = asked[index];
    if (identity === undefined || identity === 'absent') return [];
    const problem = isProgram(identity)
      ? `by its banner it is ${identity.product === 'postgresql' ? "PostgreSQL's own" : "YugabyteDB's"}, version ${identity.version}`
      : identity.broken;
    return [`${join(folder, name)}: ${problem}`];
  });
  if (broken.length > 0) {
    throw permanent(
      'DUMP_PROGRAM_BROKEN',
      `No ${name} on this worker can be used: ${broken.join('; ')}`,
      `Put a ${name} of ${product === 'yugabytedb' ? 'YugabyteDB' : 'PostgreSQL'} there that this worker's user can run.`,
    );
  }
  throw missing(name, server, product, folders);
}

function isProgram(identity: Awaited<ReturnType<typeof identify>>): identity is Program {
  return typeof identity === 'object' && 'major' in identity;
}

function byPreference(a: Program, b: Program): number {
  const configured = Number(isConfigured(b)) - Number(isConfigured(a));
  if (configured !== 0) return configured;
  if (a.major !== b.major) return a.major - b.major;
  return Number(isOlderRelease(a.version, b.version)) - Number(isOlderRelease(b.version, a.version));
}

/** True for a program from `HOLDFAST_YB_BIN` and its installation. */
export function isConfigured({ path }: Program): boolean {
  return configuredFolders().includes(dirname(path));
}

function missing(name: string, server: Server, product: Product, folders: readonly string[]): Error {
  if (product === 'postgresql') {
    return permanent(
      'DUMP_PROGRAM_MISSING',
      `Found no ${name} on this worker (looked in ${folders.join(', ')})`,
      `Install PostgreSQL's client programs of version ${server.major} or newer.`,
    );
  }
  const configured = process.env[PROGRAM_FOLDER_VARIABLE];
  const named =
    configured === undefined || configured === ''
      ? ` (${PROGRAM_FOLDER_VARIABLE} is not set)`
      : ` (${PROGRAM_FOLDER_VARIABLE} is ${configured}${existsSync(configured) ? '' : ', which is not there'})`;
  const release = server.version.includes('-YB-') ? ` (the server is ${server.version})` : '';
  return permanent(
    'DUMP_PROGRAM_MISSING',
    `Found no ${name} of YugabyteDB on this worker${release}; looked in ${folders.join(', ')}${named}`,
    `Install YugabyteDB's programs of the server's release on the worker, or set ${PROGRAM_FOLDER_VARIABLE} to the folder that has ${name} (an installation's postgres/bin).`,
  );
}

function tooOld(name: string, server: Server, found: readonly Program[]): Error {
  const versions = found.map(({ path, version }) => `${path} (${version})`).join(', ');
  return permanent(
    'DUMP_PROGRAM_TOO_OLD',
    `The server is version ${server.version}, but this worker only has older programs: ${versions}`,
    `Install ${name} of the server's version, or set ${PROGRAM_FOLDER_VARIABLE} to the folder that has it.`,
  );
}
