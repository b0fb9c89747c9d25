import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../../engines/cache-folder.ts';

const MAIN = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));

export interface CommandEnd {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCommand {
  readonly child: ChildProcess;
  /** What it has written to stdout so far. */
  output(): string;
  /** What it has written to stderr so far. */
  progress(): string;
  readonly end: Promise<CommandEnd>;
}

/** Starts `holdfast ARGS` as an operator would, in a separate process, with these variables added to the environment. */
export function startHoldfast(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  folder = process.cwd(),
): RunningCommand {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: folder,
    // Sets the same variable as the wrapper.
    env: { NODE_COMPILE_CACHE: cacheFolder('compiled'), ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const end = new Promise<CommandEnd>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, output: () => stdout, progress: () => stderr, end };
}

export function holdfast(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<CommandEnd> {
  return startHoldfast(args, environment).end;
}

/** Like `holdfast`, run in a folder. */
export function holdfastIn(folder: string, ...args: readonly string[]): Promise<CommandEnd> {
  return startHoldfast(args, {}, folder).end;
}

/** Runs a command that must succeed and returns its JSON document. */
export async function holdfastJson<T>(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): Promise<T> {
  const { code, stdout, stderr } = await holdfast([...args, '--json'], environment);
  if (code !== 0) throw new Error(`holdfast ${args.join(' ')} ended with ${code}\n${stdout}\n${stderr}`);
  return JSON.parse(stdout) as T;
}
