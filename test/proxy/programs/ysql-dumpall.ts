import { join } from 'node:path';
import { asYsqlDumpall } from '../dump-text.ts';
import { Answer } from './answer.ts';
import { has, lastValue, parseArguments, words } from './arguments.ts';
import { environmentOf } from './environment.ts';
import { run } from './run.ts';
import type { Call, Said } from './stand-in.ts';

/** Runs `pg_dumpall` as `ysql_dumpall`. Throws `Answer`. */
export async function ysqlDumpall(call: Call): Promise<Said> {
  const args = parseArguments(call.words);
  const passed = words(args.filter(({ option }) => option !== '--include-yb-metadata'));
  const environment = environmentOf(call, {});
  const ended = await run(
    join(call.postgresBin, 'pg_dumpall'),
    has(args, '-w', '--no-password') ? passed : ['-w', ...passed],
    environment,
    'ignore',
  );
  if (ended.code !== 0 && /connection to server|could not connect/.test(ended.stderr)) {
    const database = lastValue(args, '--database', '-l') ?? environment.PGDATABASE ?? 'yugabyte';
    throw new Answer(
      'dumpall.hidden-cause',
      1,
      `ysql_dumpall: error: could not connect to database "${database}"\n`,
    );
  }
  return {
    code: ended.code,
    stdout: ended.code === 0 ? asYsqlDumpall(ended.stdout.toString(), call.line) : ended.stdout,
    stderr: ended.stderr.replaceAll('pg_dumpall', 'ysql_dumpall'),
  };
}
