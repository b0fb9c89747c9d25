/**
 * What V8 and the C library must know when a worker's process begins, to bound its memory. Measured with 3,000 tables (docs/benchmarks-many.md):
 * - V8 lets 128 MiB of short-lived objects gather in the main thread before it looks which of them are alive; with half-spaces of 8 MiB it is 16 MiB.
 * - glibc gives each thread an arena of its own, and each keeps what was freed in it.
 */
const FLAGS: readonly string[] = ['--max-semi-space-size=8'];
const VARIABLES: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: '2' };

/** How a process is started that is to be a worker. Values that the operator has set stay. */
export function workerProcess(environment: NodeJS.ProcessEnv): {
  readonly execArgv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
} {
  // V8 reads `_` as `-`, and the last value counts.
  const isSet = /semi[-_]space[-_]size/.test(
    `${process.execArgv.join(' ')} ${environment.NODE_OPTIONS ?? ''}`,
  );
  return {
    execArgv: [...process.execArgv, ...(isSet ? [] : FLAGS)],
    env: { ...VARIABLES, ...environment },
  };
}

/**
 * Begins this process anew as a worker's, however it was started: under its own id, with its arguments and its open output. Returns where it is one
 * already, where the system can't (Windows), and where its parent talks to it and has started it as `workerProcess` says.
 */
export function becomeWorkerProcess(): void {
  const { execArgv, env } = workerProcess(process.env);
  const isOne = Object.keys(VARIABLES).every((name) => process.env[name] !== undefined);
  // On Windows the function is there, and throws.
  if (process.platform === 'win32' || process.execve === undefined || process.send !== undefined) return;
  if (isOne && execArgv.length === process.execArgv.length) return;
  process.execve(process.execPath, [process.execPath, ...execArgv, ...process.argv.slice(1)], env);
}
