import { type ChildProcess, fork, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../../engines/cache-folder.ts';
import type { CommandCall, CommandResult } from './command-host.ts';
import { eventually } from './processes.ts';

const MAIN = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));
const HOST = fileURLToPath(new URL('./command-host.ts', import.meta.url));
/** By this test file, so its commands find a server. */
let devWasStarted = false;

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
  if (args[0] === 'dev' && !args.includes('--stop')) devWasStarted = true;
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

/**
 * Runs `holdfast ARGS` to its end, beside other commands in a process that is there already (`command-host.ts`). A test that is about the process, or ends
 * it, takes `startHoldfast`; so do the commands that are servers (`worker`, `demo`). Where neither `TEMPORAL_ADDRESS` nor `holdfast dev` gives a server, a command
 * may start one and leave it behind, so it has a process of its own.
 */
export function holdfast(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  folder = process.cwd(),
): Promise<CommandEnd> {
  const whole: NodeJS.ProcessEnv = {
    NODE_COMPILE_CACHE: cacheFolder('compiled'),
    ...process.env,
    ...environment,
  };
  const startsServers = !devWasStarted && !whole.TEMPORAL_ADDRESS && whole.HOLDFAST_STATE_DIR !== undefined;
  return startsServers
    ? startHoldfast(args, environment, folder).end
    : inHost({ args, environment: whole, folder });
}

/** Like `holdfast`, run in a folder. */
export function holdfastIn(folder: string, ...args: readonly string[]): Promise<CommandEnd> {
  return holdfast(args, {}, folder);
}

/** Hosts that run no command now. A command that is called while all others are busy gets one more. */
const idle: ChildProcess[] = [];
let lastTestHasRun = false;

function inHost(call: CommandCall): Promise<CommandEnd> {
  const last = idle.pop();
  const host =
    last?.connected === true
      ? last
      : fork(HOST, {
          execPath: process.execPath,
          execArgv: [],
          stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
        });
  keepWaiting(host, true);
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null, signal: NodeJS.Signals | null) =>
      reject(new Error(`holdfast ${call.args.join(' ')} ended its process: ${signal ?? code}`));
    host.once('exit', onExit);
    host.once('message', (result) => {
      host.off('exit', onExit);
      keepWaiting(host, false);
      if (lastTestHasRun) host.disconnect();
      else idle.push(host);
      resolve(result as CommandResult);
    });
    host.send(call);
  });
}

/** Whether this process stays alive for a host's sake. */
function keepWaiting(host: ChildProcess, waits: boolean): void {
  for (const held of [host, host.channel]) {
    if (waits) held?.ref();
    else held?.unref();
  }
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

/**
 * Starts `holdfast dev`: a Temporal server and workers that stay for the commands that follow, each of which would otherwise start and stop its own. Returns
 * what ends them.
 */
export async function startDev(environment: NodeJS.ProcessEnv): Promise<() => Promise<void>> {
  const server = startHoldfast(['dev', '--json'], environment);
  await eventually('the embedded server answers', async () => server.output() !== '');
  return async () => {
    server.child.kill('SIGTERM');
    await server.end;
  };
}

// The hosts end with the test file that called them, also those that its own `afterAll` calls after this one; a campaign's end with it.
if (typeof afterAll === 'function') {
  afterAll(() => {
    lastTestHasRun = true;
    for (const host of idle.splice(0)) host.disconnect();
  });
}
