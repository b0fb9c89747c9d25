import type { Server } from '../server.ts';
import { isConfigured } from './find.ts';
import { PROGRAM_FOLDER_VARIABLE } from './folders.ts';
import { isOlderRelease, type Program } from './identity.ts';

/** Describes a program by path and version. Adds a note when it is of an older release than the server, or not from the configured folder. */
export function describeProgram(program: Program, server: Server): string {
  const { path, version } = program;
  const older = isOlderRelease(version, server.version)
    ? `; older than the server (${server.version}): install the programs of its release`
    : '';
  const configured = process.env[PROGRAM_FOLDER_VARIABLE];
  const elsewhere =
    configured && program.product === 'yugabytedb' && !isConfigured(program)
      ? `; ${PROGRAM_FOLDER_VARIABLE} names ${configured}, where none was found that runs and is new enough`
      : '';
  return `${path} (${version})${older}${elsewhere}`;
}
