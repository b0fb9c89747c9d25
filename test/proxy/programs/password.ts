import { has, parseArguments } from './arguments.ts';
import { type Call, TERMINAL } from './stand-in.ts';

/** Whether the program would ask its terminal for a password now (fact `programs.password`). */
export function asksForPassword({ environment, words }: Call): boolean {
  const isTold = has(parseArguments(words), '-w', '--no-password') || environment.PGPASSWORD !== undefined;
  return environment[TERMINAL] !== undefined && !isTold;
}
