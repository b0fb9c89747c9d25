import { spawn } from 'node:child_process';
import {
  doubtful,
  type HoldfastError,
  messageOf,
  permanent,
  READ_POINT_LOST,
  transient,
} from '../../../../model/errors.ts';
import { type ConnectionTarget, libpqEnvironment, programArguments } from '../connection-url.ts';
import { loginOptions } from '../login-triggers.ts';
import { tellableOutput } from '../server-message.ts';
import { withSession } from '../session.ts';
import { learnsRefusedByProgram, programPins } from '../startup-pins.ts';
import { timeoutRemedy } from '../timeouts.ts';
import { passingText } from '../yugabyte-errors.ts';
import type { FoundProgram } from './find.ts';

/** Error code for a role that may not set what the program has to set (only a superuser may set `yb_read_time`: yugabyte-db issue 19608). */
export const SETTING_DENIED = 'YSQL_SETTING_DENIED';

const STDERR_KEPT_CHARACTERS = 4_000;

/**
 * Runs a client program against `database` and returns its output. It passes host, port, user and database as arguments, since `ysql_dump` ignores
 * PGHOST (yugabyte-db issue 13182), and the password by environment. The program never prompts. Throws a `HoldfastError` with the end of the
 * program's stderr. When the program couldn't connect, throws the error that a session of our own meets, because `ysql_dumpall` hides its cause.
 */
export async function runProgram(
  program: FoundProgram,
  target: ConnectionTarget,
  database: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<Buffer> {
  const databaseOption = program.kind === 'dumpall' ? '--database' : '--dbname';
  const connection = ['--no-password', ...programArguments(target, database, databaseOption)];
  const child = spawn(program.path, [...connection, ...args], {
    env: libpqEnvironment(target, ...loginOptions(target), ...programPins(target)),
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
  });
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
  const words = said.trim() || messageOf(ended.error ?? `exit code ${ended.code}`);
  const error = programError(program.path, words);
  if (!COULD_NOT_CONNECT.test(words)) throw error;
  if (learnsRefusedByProgram(target, words)) return await runProgram(program, target, database, args, signal);
  // If our own session can't connect either, its error says why.
  await withSession(target, database, signal, async () => undefined);
  throw error.transient ? onlyProgramFails(error) : error;
}

const COULD_NOT_CONNECT = /connection to server|could not connect|connection to database .* failed/i;

/**
 * Turns a connection error of the program into one of limited retries, because our own session could connect. Either the server
 * came back meanwhile, or only the program can't reach it, which would never pass.
 */
function onlyProgramFails({ code, message }: HoldfastError): HoldfastError {
  return doubtful(
    code,
    `${message}; a session of Holdfast's own reaches the same database`,
    'Run the program by hand on the worker with the same host, port, user and database, and mend what it names.',
  );
}

/** Turns a program's stderr into an error. Its message holds no value of a row. */
export function programError(path: string, said: string): HoldfastError {
  const message = `${path} failed: ${tellableOutput(said)}`;
  if (/invalid snapshot identifier|could not import the requested snapshot|snapshot too old/i.test(said)) {
    return permanent(READ_POINT_LOST, message, 'A new read point is opened and the export starts over.');
  }
  if (/catalog snapshot used for this transaction has been invalidated/i.test(said)) {
    return permanent(READ_POINT_LOST, message, 'A new read point is opened and the export starts over.');
  }
  if (/password authentication failed|no password supplied/i.test(said)) {
    return permanent(
      'YSQL_FAILED',
      message,
      'Check the user and password in the connection that the plan names.',
    );
  }
  if (/permission denied to set parameter/i.test(said)) {
    return permanent(
      SETTING_DENIED,
      message,
      'Use a superuser in the connection that the plan names: YugabyteDB lets nobody else set it.',
    );
  }
  if (PASSING.test(said) || passingText(said) !== undefined) {
    return transient(
      'YSQL_UNAVAILABLE',
      message,
      timeoutRemedy(said) ?? 'Check that the database server runs and is reachable.',
    );
  }
  return permanent(
    'YSQL_PROGRAM_FAILED',
    message,
    timeoutRemedy(said) ?? "Read the program's message above and repair what it names.",
  );
}

/** Messages about a server that is gone or busy. `passingText` knows YugabyteDB's messages of this kind. */
const PASSING =
  /connection to server|could not connect|connection to database .* failed|server closed the connection|terminating connection|lock timeout|deadlock detected/i;
