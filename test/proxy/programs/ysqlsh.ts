import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Answer } from './answer.ts';
import { lastValue, parseArguments } from './arguments.ts';
import { environmentOf } from './environment.ts';
import { run } from './run.ts';
import type { Call, Said } from './stand-in.ts';

/** Runs `psql` as `ysqlsh`. Throws `Answer`. */
export async function ysqlsh(call: Call): Promise<Said> {
  const file = lastValue(parseArguments(call.words), '-f', '--file');
  if (!call.line.restrict && file !== undefined) await refuseRestrict(file);
  const ended = await run(join(call.postgresBin, 'psql'), call.words, environmentOf(call, {}), 'inherit');
  return { ...ended, stderr: ended.stderr.replaceAll(/^psql:/gm, 'ysqlsh:') };
}

async function refuseRestrict(file: string): Promise<void> {
  const lines = (await readFile(file, 'utf8')).split('\n');
  const at = lines.findIndex((line) => line.startsWith('\\restrict '));
  if (at < 0) return;
  throw new Answer('dump.restrict', 3, `ysqlsh:${file}:${at + 1}: error: invalid command \\restrict\n`);
}
