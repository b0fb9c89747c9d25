import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { messageOf } from '../../model/errors.ts';

/** Runs `docker` with these arguments. Returns what it says; throws with what it says against it. */
export async function docker(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('docker', args, { env, maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    throw new Error(`docker ${args.join(' ')} failed: ${said || messageOf(error)}`);
  }
}
