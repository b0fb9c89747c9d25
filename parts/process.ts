import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, permanent } from '../model/errors.ts';
import { programEnvironment } from '../model/program-environment.ts';
import type { Account } from './account.ts';
import { forgetProcess, guardProcess } from './guard.ts';
import { openPrivateFile } from './private-file.ts';

const STARTUP_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const READINESS_POLL_MS = 50;
const LOG_TAIL_LINES = 15;
const LAST_WORDS_LINES = 2;

/** How to start a server, to find out whether it is ready, and to stop it. */
type ServerSpec = {
  /** Its name in messages, e.g. `PostgreSQL`. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Variables added to those that the server inherits from this process. */
  readonly environment?: Readonly<Record<string, string>>;
  /** `everything`: for Holdfast's own processes, which resolve secrets. Default: what `model/program-environment.ts` lets through. */
  readonly inherits?: 'everything';
  /** Names of further variables that it inherits. */
  readonly variables?: readonly string[];
  readonly workingDirectory?: string;
  /** The account that it runs under. Default: that of this process. */
  readonly account?: Account | undefined;
  /** True: only the account that it runs under may read the files that it creates. */
  readonly isPrivate?: boolean;
  /** Stdout and stderr are appended to this file. */
  readonly logFile: string;
  /** Throws while the server doesn't answer yet. Without it, the server counts as ready at once. */
  readonly checkReady?: () => Promise<void>;
  /** Longest time until it is ready. Default one minute. */
  readonly startupTimeoutMs?: number;
  /** The last words of a start that ended because a child of the killed server still runs. It is started again until that child is gone. */
  readonly childrenRemain?: RegExp;
  /** Asks the server to end; SIGTERM when left out. */
  readonly stopSignal?: NodeJS.Signals;
  /** The signal that the guard sends if this process dies. Default: `stopSignal`. */
  readonly orphanSignal?: NodeJS.Signals;
  /** `detached`: the server continues after this process has ended. Default `parent`: it ends with this process, however that ends. */
  readonly lifetime?: 'parent' | 'detached';
};

/** How a process ended: `code` on its own, `signal` when it was killed. */
type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

/** A server that can be stopped, killed and started again with the same command line, port and state. */
export type ServerProcess = {
  /** Process id while it runs, undefined once it is stopped. */
  readonly pid: number | undefined;
  readonly logFile: string;
  /** Ends it by `signal` or the spec's stop signal, and by SIGKILL after ten seconds. Does nothing when it isn't running. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** `kill -9`, like a crash; resolves when the process is gone. Its state stays, for `restart`. */
  kill9(): Promise<void>;
  /** Stops it if it runs, and starts it again on the same port with the same state. */
  restart(): Promise<void>;
  /** Resolves when the currently running process ends, for whatever reason. */
  waitForExit(): Promise<Exit>;
};

/**
 * Starts a server in a process group of its own and waits until it is ready.
 *
 * @throws HoldfastError `SERVER_START` when it can't be started, ends early or isn't ready in time, with the end of its log
 */
export async function startServer(spec: ServerSpec): Promise<ServerProcess> {
  let running: Running | undefined = await launch(spec);

  async function stop(signal: NodeJS.Signals = spec.stopSignal ?? 'SIGTERM'): Promise<void> {
    if (running === undefined) return;
    await end(running, signal);
    running = undefined;
  }

  return {
    get pid() {
      return running?.hasExited() ? undefined : running?.pid;
    },
    logFile: spec.logFile,
    stop,
    async kill9() {
      await stop('SIGKILL');
    },
    async restart() {
      await stop();
      running = await launch(spec);
    },
    async waitForExit() {
      if (running === undefined) throw notRunning(spec.name);
      running.child.ref();
      return await running.exit;
    },
  };
}

type Running = {
  readonly pid: number;
  readonly child: ChildProcess;
  readonly exit: Promise<Exit>;
  hasExited(): boolean;
};

async function launch(spec: ServerSpec): Promise<Running> {
  const patienceMs = spec.startupTimeoutMs ?? STARTUP_TIMEOUT_MS;
  const deadline = Date.now() + patienceMs;
  let running = await spawnServer(spec);
  for (;;) {
    let reason: string;
    try {
      await spec.checkReady?.();
      // The answer may come from another server that has the port, so check that ours still runs.
      if (!running.hasExited()) return running;
      reason = 'it ended';
    } catch (error) {
      reason = messageOf(error);
    }
    const isLate = Date.now() > deadline;
    if (running.hasExited()) {
      const { code, signal } = await running.exit;
      if (isLate || !spec.childrenRemain?.test(await endOfLog(spec, LAST_WORDS_LINES))) {
        throw await startFailure(
          spec,
          `ended while it started (${signal === null ? `exit code ${code}` : signal})`,
        );
      }
      running = await spawnServer(spec);
    }
    if (isLate) {
      await end(running, 'SIGKILL');
      throw await startFailure(spec, `did not get ready within ${patienceMs / 1000} seconds: ${reason}`);
    }
    await sleep(READINESS_POLL_MS);
  }
}

function inherited({ inherits, variables }: ServerSpec): NodeJS.ProcessEnv {
  return inherits === 'everything' ? process.env : programEnvironment(process.env, variables);
}

/** Calls `start` under this umask, which the process that it starts inherits. Nothing else runs in between, since `start` is synchronous. */
function underUmask<T>(umask: number, start: () => T): T {
  const before = process.umask(umask);
  try {
    return start();
  } finally {
    process.umask(before);
  }
}

async function spawnServer(spec: ServerSpec): Promise<Running> {
  await mkdir(path.dirname(spec.logFile), { recursive: true });
  const log = await openPrivateFile(spec.logFile);
  let child: ChildProcess;
  let exited: Promise<Exit>;
  try {
    const start = () =>
      spawn(spec.command, spec.args, {
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
        env: { ...inherited(spec), ...spec.environment },
        cwd: spec.workingDirectory,
        uid: spec.account?.uid,
        gid: spec.account?.gid,
      });
    child = spec.isPrivate === true ? underUmask(0o077, start) : start();
    // At once and before anything is awaited, so that no signal which ends this process comes between.
    if (child.pid !== undefined && spec.lifetime !== 'detached')
      guardProcess(child.pid, spec.orphanSignal ?? spec.stopSignal ?? 'SIGTERM');
    // Listen at once: the program may end before anything here awaits it.
    exited = exitOf(child);
    await once(child, 'spawn');
  } catch (error) {
    throw permanent(
      'SERVER_START',
      `${spec.name} can't be started (${spec.command}): ${messageOf(error)}`,
      'Check that the program exists and may be run by this user.',
      error,
    );
  } finally {
    await log.close();
  }
  const pid = pidOf(child, spec.name);
  // A server that wasn't stopped (after a failed test) must not keep this process alive; the guard stops it afterwards.
  child.unref();
  const exit = exited.then((how) => {
    forgetProcess(pid);
    return how;
  });
  return { pid, child, exit, hasExited: () => child.exitCode !== null || child.signalCode !== null };
}

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
}

async function end(running: Running, signal: NodeJS.Signals): Promise<void> {
  if (running.hasExited()) return;
  // This process waits for the server's end, so it must stay alive until then.
  running.child.ref();
  send(signal === 'SIGKILL' ? -running.pid : running.pid, signal);
  const deadline = new AbortController();
  const patience = sleep(STOP_TIMEOUT_MS, undefined, { signal: deadline.signal }).then(
    () => send(-running.pid, 'SIGKILL'),
    () => undefined, // aborted: the process ended in time
  );
  await running.exit;
  deadline.abort();
  await patience;
}

/** Signals a process, or with a negative id its whole group. */
function send(target: number, signal: NodeJS.Signals): void {
  try {
    process.kill(target, signal);
  } catch (error) {
    // It ended between the check and the signal, which is what the signal was for.
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return;
    throw error;
  }
}

function pidOf(child: ChildProcess, name: string): number {
  if (child.pid === undefined) throw notRunning(name);
  return child.pid;
}

function notRunning(name: string) {
  return permanent('SERVER_NOT_RUNNING', `${name} is not running`, 'Start it first.');
}

async function startFailure(spec: ServerSpec, what: string) {
  const tail = await endOfLog(spec, LOG_TAIL_LINES);
  return permanent('SERVER_START', `${spec.name} ${what}\n${tail}`, `See the whole log in ${spec.logFile}.`);
}

async function endOfLog(spec: ServerSpec, lines: number): Promise<string> {
  const log = await readFile(spec.logFile, 'utf8');
  return log.trimEnd().split('\n').slice(-lines).join('\n');
}
