import { execFile } from 'node:child_process';
import { permanent } from '../../../../model/errors.ts';
import { programEnvironment } from '../../../../model/program-environment.ts';
import { type Program, stampOf } from './identity.ts';

/** An option that no program knows, so the program exits before it connects to anything. */
const UNKNOWN = '--holdfast-asks-whether-the-option-before-is-known';
const PROBE_MS = 60_000;

const answers = new Map<string, Promise<boolean>>();

/**
 * Finds out whether the program accepts `option`, written as it would be passed (`--read-time=1`). It runs the program to find out,
 * because the help of `ysql_dump` doesn't list `--read-time` in any version (docs/yugabytedb.md, M2). The program never connects.
 * Answers are kept as long as the program's file stays the same.
 *
 * @throws HoldfastError `DUMP_PROGRAM_BROKEN` (permanent) when the program accepts even an option that doesn't exist, or can't be run
 */
export async function takesOption(program: Program, option: string): Promise<boolean> {
  const key = `${await stampOf(program.path)}\0${option}`;
  const known = answers.get(key) ?? ask(program, option);
  answers.set(key, known);
  try {
    return await known;
  } catch (error) {
    answers.delete(key);
    throw error;
  }
}

async function ask({ path }: Program, option: string): Promise<boolean> {
  const [name = option] = option.split('=');
  const said = await new Promise<string>((resolve, reject) => {
    const environment = { ...programEnvironment(process.env), LC_ALL: 'C' };
    execFile(path, [option, UNKNOWN], { env: environment, timeout: PROBE_MS }, (error, _stdout, stderr) => {
      if (error === null || error.killed === true || typeof error.code !== 'number') {
        reject(
          permanent(
            'DUMP_PROGRAM_BROKEN',
            `${path} was asked whether it knows ${name} and ${error === null ? 'took an option that does not exist' : `failed: ${error.message}`}`,
            'Repair or replace that program.',
            error ?? undefined,
          ),
        );
      } else resolve(stderr);
    });
  });
  const [, refused] = /(?:unrecognized|unknown|invalid) option.*?['`"-]{1,2}(-?-?[\w-]+)/.exec(said) ?? [];
  return refused === undefined || refused.replace(/^-+/, '') !== name.replace(/^-+/, '');
}
