/**
 * YugabyteDB's client programs, played by PostgreSQL's: `node main.ts NAME LINE POSTGRES_BIN PATH [ARGUMENT…]`. What they say of
 * themselves, which options they take and where they connect is as the facts say (`test/facts/facts.ts`), not as Holdfast wishes.
 */
import { execFile } from 'node:child_process';
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CLIENT_LINES, type ClientLineName } from '../client-lines.ts';
import { Answer } from './answer.ts';
import { asksForPassword } from './password.ts';
import type { Call, Said, StandInName } from './stand-in.ts';
import { ysqlDump } from './ysql-dump.ts';
import { ysqlDumpall } from './ysql-dumpall.ts';
import { ysqlsh } from './ysqlsh.ts';

const PROGRAMS = {
  ysql_dump: { wrapped: 'pg_dump', play: ysqlDump },
  ysql_dumpall: { wrapped: 'pg_dumpall', play: ysqlDumpall },
  ysqlsh: { wrapped: 'psql', play: ysqlsh },
} as const;

function isStandIn(name: string): name is StandInName {
  return name in PROGRAMS;
}

function isLine(name: string): name is ClientLineName {
  return name in CLIENT_LINES;
}

/** Longer than any test waits. */
const NOBODY_ANSWERS_MS = 300_000;

async function answer(call: Call): Promise<Said> {
  const { name, line, words } = call;
  if (words[0] === '--version' || words[0] === '-V') throw banner(call);
  if (words[0] === '--help' && name !== 'ysqlsh') {
    const { stdout } = await promisify(execFile)(join(call.postgresBin, PROGRAMS[name].wrapped), ['--help']);
    throw help(name, stdout, line);
  }
  // Nobody types one.
  if (asksForPassword(call)) await new Promise((resolve) => setTimeout(resolve, NOBODY_ANSWERS_MS));
  return await PROGRAMS[name].play(call);
}

function banner({ name, line }: Call): Answer {
  return name === 'ysqlsh'
    ? new Answer('shell.banner', 0, `psql (PostgreSQL) ${line.version}\n`)
    : new Answer('dump.banner', 0, `${name} (YSQL) ${line.version}\n`);
}

/** Help names what the fork added, but never `--read-time`. */
function help(name: StandInName, text: string, line: Call['line']): Answer {
  const added = [
    '  --include-yb-metadata        include YugabyteDB metadata in the dump',
    '  --no-serializable-deferrable disable serializable-deferrable mode',
    ...(line.roleChecks && name === 'ysql_dump'
      ? ['  --dump-role-checks           check that a role exists before it is named']
      : []),
  ];
  const own = text.replaceAll(PROGRAMS[name].wrapped, name);
  return new Answer('dump.read-time', 0, `${own}\n${added.join('\n')}\n`);
}

function print(stream: 'stdout' | 'stderr', text: Buffer | string): void {
  let left = typeof text === 'string' ? Buffer.from(text) : text;
  const descriptor = stream === 'stdout' ? 1 : 2;
  while (left.length > 0) {
    try {
      left = left.subarray(writeSync(descriptor, left));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

const [name = '', line = '', postgresBin = '', path = '', ...words] = process.argv.slice(2);
if (!isStandIn(name) || !isLine(line)) throw new Error(`there is no ${name} of ${line}`);
try {
  const said = await answer({
    ...{ name, path, postgresBin, words },
    line: CLIENT_LINES[line],
    environment: process.env,
  });
  print('stderr', said.stderr);
  print('stdout', said.stdout);
  process.exitCode = said.code;
} catch (error) {
  if (!(error instanceof Answer)) throw error;
  print(error.stream, error.message);
  process.exitCode = error.code;
}
