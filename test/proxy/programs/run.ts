import { spawn } from 'node:child_process';
import { constants } from 'node:os';

export interface Ended {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/**
 * Runs the wrapped program to its end. A signal that ends the stand-in ends it too. Standard input goes through for a shell
 * and is closed for a dump, so that nothing can be prompted for.
 */
export async function run(
  program: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  input: 'inherit' | 'ignore',
): Promise<Ended> {
  const child = spawn(program, args, { env: environment, stdio: [input, 'pipe', 'pipe'] });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      child.kill(signal);
      child.once('close', () => process.exit(128 + constants.signals[signal]));
    });
  }
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exit, signal) => resolve(exit ?? 128 + constants.signals[signal ?? 'SIGTERM']));
  });
  return { code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() };
}
