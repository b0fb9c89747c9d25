/** A program that asks for versitygw and prints where it is, or what prevents it. */
import { HoldfastError } from '../../model/errors.ts';
import { executableOf, VERSITYGW } from '../../parts/tools.ts';

try {
  process.stdout.write(await executableOf(VERSITYGW));
} catch (error) {
  if (!(error instanceof HoldfastError)) throw error;
  process.stderr.write(`${error.message}\n${error.remedy}\n`);
  process.exitCode = 1;
}
