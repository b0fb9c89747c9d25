import { isUtf8 } from 'node:buffer';
import { permanent } from '../../../model/errors.ts';
import type { YsqlSource } from '../../../model/pipeline.ts';
import type { VerbContext } from '../../engine.ts';
import type { ConnectionTarget } from './connection-url.ts';
import { withoutEntries } from './dump-script.ts';
import { findProgram } from './programs/find.ts';
import { runProgram } from './programs/run.ts';
import type { Server } from './server.ts';

/** What to dump, and with which product's programs. */
export interface DumpSource {
  readonly verb: VerbContext;
  readonly target: ConnectionTarget;
  readonly server: Server;
  /** Absent: the server's own program. */
  readonly dumpProgram?: YsqlSource['dumpProgram'] | undefined;
}

/** Dumps roles, their memberships and settings, and tablespaces. */
export async function dumpGlobals(
  { verb, target, server, dumpProgram }: DumpSource,
  globals: Exclude<YsqlSource['globals'], 'none'>,
): Promise<string> {
  const program = await findProgram(
    'dumpall',
    server,
    dumpProgram === 'pg_dump' ? 'postgresql' : server.product,
  );
  const args = ['--globals-only'];
  if (globals === 'roles') args.push('--no-role-passwords');
  const script = await runProgram(program, target, target.database, args, verb.signal);
  return withoutEntries(utf8(script, 'the cluster'), () => false);
}

/** Decodes what a program wrote. Throws `YSQL_CANNOT_CARRY` (permanent) when it isn't UTF-8. */
export function utf8(script: Buffer, database: string): string {
  if (isUtf8(script)) return script.toString('utf8');
  throw permanent(
    'YSQL_CANNOT_CARRY',
    `The schema of database "${database}" (names, comments or function bodies) holds text that is not valid UTF-8`,
    'Such text can only be in a SQL_ASCII database: rename or rewrite the objects that hold it.',
  );
}
