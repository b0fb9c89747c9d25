import type { ConnectionTarget } from '../connection-url.ts';
import type { FoundProgram } from './find.ts';
import { runProgram } from './run.ts';

/** Time limit of a trial, milliseconds: longer than an empty dump takes, and short enough for a check. */
const TRIAL_MS = 30_000;

/** Excludes every schema, so that almost nothing is dumped, but the program still reads the catalogue. */
export const OF_NOTHING = '--exclude-schema=*';

/**
 * Runs a program against the source as a backup would, as a check: a program that answers `--version` may still lack a library or be
 * refused by the server. Discards the output. Returns the result as a clause.
 *
 * @param args of a dump that is small (`OF_NOTHING`)
 * @throws HoldfastError as `runProgram`
 */
export async function tryProgram(
  program: FoundProgram,
  target: ConnectionTarget,
  args: readonly string[],
  signal: AbortSignal,
  trialMs = TRIAL_MS,
): Promise<string> {
  const limit = AbortSignal.timeout(trialMs);
  try {
    await runProgram(program, target, target.database, args, AbortSignal.any([signal, limit]));
    return 'a trial run of it ended well';
  } catch (error) {
    if (signal.aborted || !limit.aborted) throw error;
    return `a trial run of it had not ended after ${trialMs / 1_000} s, so its end was not seen`;
  }
}
