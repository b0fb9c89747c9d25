import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from '@temporalio/client';
import { z } from 'zod';
import { withLock } from '../bootstrap/lock.mjs';
import { messageOf, permanent } from '../model/errors.ts';
import { DEFAULT_TASK_QUEUE } from '../model/task-queue.ts';
import { canListen, freePort } from '../parts/ports.ts';
import { startTemporal } from '../parts/temporal.ts';
import { executableOf, TEMPORAL } from '../parts/tools.ts';
import { connectClient } from '../worker/connection.ts';
import { uninterrupted } from './interrupts.ts';
import { say } from './output.ts';
import { stateDirectory } from './state.ts';

/**
 * The embedded default: Temporal's dev server with its state in a file, and a worker. Both are processes of their own, so that a
 * run survives the command that started it. The next command finds them by `embedded.json`.
 *
 * A worker resolves secrets from the environment that it was started with. So each environment has a task queue and a
 * worker of its own, and commands from two shells never run in each other's environment.
 */
const embeddedState = z.object({
  /** Absent after it was stopped on purpose. */
  serverPid: z.int().optional(),
  port: z.int(),
  uiPort: z.int(),
  /** Process ids by task queue. */
  workers: z.record(z.string(), z.int()),
});
type EmbeddedState = Readonly<z.infer<typeof embeddedState>>;

export interface Embedded {
  readonly address: string;
  readonly uiUrl: string;
  /** The task queue of the worker that has this command's environment. */
  readonly taskQueue: string;
  /** `dead`: one of its processes has died, and `ensureEmbedded` starts it again. `stopped`: it was stopped on purpose. */
  condition(): Promise<'alive' | 'dead' | 'stopped'>;
}

/**
 * Finds the embedded server and worker, or starts what is missing. Also starts a worker, with this command's environment, for each
 * run that has lost its own.
 *
 * @throws HoldfastError `STATE_DIRECTORY`, `STATE_DAMAGED`, `WORKER_START`, and those of `startTemporal`
 */
export async function ensureEmbedded(): Promise<Embedded> {
  const directory = await openStateDirectory();
  // This may take minutes once, and may be interrupted. What follows may not, or started processes would be forgotten.
  await executableOf(TEMPORAL);
  return uninterrupted(() =>
    locked(directory, async () => {
      const server = await ensureServer(directory);
      const state = await ensureWorkers(directory, server);
      await writeFile(join(directory, `user.${process.pid}`), '');
      return {
        address: addressOf(state),
        uiUrl: uiUrlOf(state),
        taskQueue: ownTaskQueue(),
        condition: async () => {
          const pids = [state.serverPid, ...Object.values(state.workers)];
          if (pids.every(isRunning)) return 'alive';
          return (await readState(directory))?.serverPid === undefined ? 'stopped' : 'dead';
        },
      };
    }),
  );
}

/**
 * Called by a command that ends. The last one stops server and workers, unless runs are under way (a command was detached from
 * one) or `keep` is set. `shared`: another command still uses them, and will do the same.
 */
export async function leaveEmbedded(client: Client, keep: boolean): Promise<'stopped' | 'shared' | 'left'> {
  const directory = await openStateDirectory();
  return locked(directory, async () => {
    await rm(join(directory, `user.${process.pid}`), { force: true });
    if (!isRunning((await readState(directory))?.serverPid)) return 'stopped';
    if ((await otherUsers(directory)) > 0) return 'shared';
    if (keep || (await busyQueues(client, UNDER_WAY)).size > 0) return 'left';
    await stopAll(directory);
    return 'stopped';
  });
}

/** Stops server and workers, also while runs are under way; these go on at the next start. Returns false if nothing was running. */
export async function stopEmbedded(): Promise<boolean> {
  const directory = stateDirectory();
  if (!existsSync(directory)) return false;
  return locked(directory, () => stopAll(directory));
}

async function stopAll(directory: string): Promise<boolean> {
  const state = await readState(directory);
  if (state === undefined) return false;
  const { serverPid, port, uiPort } = state;
  const serverRuns = isRunning(serverPid);
  // Recorded first: a command that follows a run must not take this for a crash.
  await writeState(directory, { port, uiPort, workers: {} });
  // Workers first: they end their chunks in order while the server still answers.
  const workers = await stopWorkers(state);
  if (serverPid !== undefined && serverRuns) await stopProcess(serverPid);
  return serverRuns || workers > 0;
}

async function ensureServer(directory: string): Promise<EmbeddedState> {
  const previous = await readState(directory);
  if (previous !== undefined && isRunning(previous.serverPid) && (await answers(previous))) return previous;
  // The same ports as last time if they are free, so that links to the UI go on working.
  const port = await portLike(previous?.port);
  const uiPort = await portLike(previous?.uiPort);
  const server = await startTemporal({
    dbFile: join(directory, 'temporal.db'),
    logFile: join(directory, 'temporal.log'),
    lifetime: 'detached',
    port,
    uiPort,
  });
  const movesAway = previous !== undefined && previous.port !== port;
  if (movesAway) await stopWorkers(previous);
  const workers = movesAway ? {} : (previous?.workers ?? {});
  const state = { serverPid: server.pid, port, uiPort, workers };
  await writeState(directory, state);
  say(`Started a Temporal server (state in ${directory}); its UI: ${uiUrlOf(state)}`);
  return state;
}

/** Returns how many workers there were. */
async function stopWorkers(state: EmbeddedState): Promise<number> {
  const running = Object.values(state.workers).filter(isRunning);
  await Promise.all(running.map(stopProcess));
  return running.length;
}

async function portLike(previous: number | undefined): Promise<number> {
  return previous !== undefined && (await canListen(previous)) ? previous : freePort();
}

async function ensureWorkers(directory: string, found: EmbeddedState): Promise<EmbeddedState> {
  const { client, connection } = await connectClient(addressOf(found));
  const queues = await busyQueues(client, RUNNING).finally(() => connection.close());
  // A worker that has died and has no run isn't started again, and must not count as missing.
  const running = Object.entries(found.workers).filter(([, pid]) => isRunning(pid));
  let state: EmbeddedState = { ...found, workers: Object.fromEntries(running) };
  if (running.length < Object.keys(found.workers).length) await writeState(directory, state);
  for (const queue of queues.add(ownTaskQueue())) {
    if (state.workers[queue] !== undefined) continue;
    const started = await startWorker(directory, state, queue);
    state = { ...state, workers: { ...state.workers, [queue]: started } };
    await writeState(directory, state);
  }
  return state;
}

const RUNNING = 'ExecutionStatus="Running"';
/** A source's gate ends by itself when its runs have ended, so it doesn't count as work of its own. */
const UNDER_WAY = `${RUNNING} AND WorkflowType!="sourceGate"`;

/** Task queues of the runs that are under way. Visibility lags behind, so each run is asked itself. */
async function busyQueues(client: Client, query: string): Promise<Set<string>> {
  const queues = new Set<string>();
  for await (const run of client.workflow.list({ query })) {
    if (queues.has(run.taskQueue)) continue;
    const { status } = await client.workflow.getHandle(run.workflowId, run.runId).describe();
    if (status.name === 'RUNNING') queues.add(run.taskQueue);
  }
  return queues;
}

async function startWorker(directory: string, server: EmbeddedState, taskQueue: string): Promise<number> {
  const logFile = join(directory, 'worker.log');
  const log = await open(logFile, 'a');
  const extension = import.meta.url.endsWith('.js') ? 'js' : 'ts';
  const child = fork(fileURLToPath(new URL(`./main.${extension}`, import.meta.url)), ['worker'], {
    detached: true,
    stdio: ['ignore', log.fd, log.fd, 'ipc'],
    env: { ...process.env, TEMPORAL_ADDRESS: addressOf(server), HOLDFAST_TASK_QUEUE: taskQueue },
  });
  await log.close();
  await new Promise<void>((resolve, reject) => {
    const failed = () =>
      reject(permanent('WORKER_START', 'the worker did not start', `Read ${logFile} for the reason.`));
    child.once('message', () => resolve());
    child.once('exit', failed);
    child.once('error', failed);
  });
  child.removeAllListeners();
  child.disconnect();
  child.unref();
  return child.pid ?? 0;
}

async function answers(state: EmbeddedState): Promise<boolean> {
  try {
    const { connection } = await connectClient(addressOf(state));
    await connection.close();
    return true;
  } catch {
    // The server hangs, or another process has its id by now. Either way it can't be used.
    return false;
  }
}

function addressOf(state: Pick<EmbeddedState, 'port'>): string {
  return `127.0.0.1:${state.port}`;
}

function uiUrlOf(state: Pick<EmbeddedState, 'uiPort'>): string {
  return `http://127.0.0.1:${state.uiPort}`;
}

/** Variables that differ between two terminals of one user and mean nothing to a worker. */
const IGNORED_VARIABLES = new Set([
  ...['_', 'SHLVL', 'PWD', 'OLDPWD', 'TERM', 'COLUMNS', 'LINES', 'TMUX', 'TMUX_PANE', 'WINDOWID'],
  ...['SSH_CLIENT', 'SSH_CONNECTION', 'SSH_TTY', 'SSH_AUTH_SOCK', 'XDG_SESSION_ID', 'TERM_SESSION_ID'],
]);

function ownTaskQueue(): string {
  const hash = createHash('sha256');
  for (const name of Object.keys(process.env).sort()) {
    if (!IGNORED_VARIABLES.has(name) && !name.startsWith('npm_'))
      hash.update(`${name}=${process.env[name]}\0`);
  }
  return `${process.env.HOLDFAST_TASK_QUEUE ?? DEFAULT_TASK_QUEUE}-${hash.digest('hex').slice(0, 12)}`;
}

async function otherUsers(directory: string): Promise<number> {
  let alive = 0;
  for (const name of await readdir(directory)) {
    const pid = Number(/^user\.(\d+)$/.exec(name)?.[1]);
    if (!pid || pid === process.pid) continue;
    if (isRunning(pid)) alive += 1;
    else await rm(join(directory, name), { force: true });
  }
  return alive;
}

function isRunning(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    process.kill(pid, 0);
    return !hasEnded(pid);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EPERM') return true;
    return false; // ESRCH: no such process.
  }
}

/** Whether a process has ended. A killed process keeps its id until its parent collects it, which the first process of some containers never does. */
function hasEnded(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')')).startsWith(') Z');
  } catch {
    return false; // There is no such file system here, or no such process any more; the next check finds out.
  }
}

async function stopProcess(pid: number): Promise<void> {
  process.kill(pid, 'SIGTERM');
  const deadline = Date.now() + 20_000;
  while (isRunning(pid)) {
    if (Date.now() > deadline) process.kill(pid, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function openStateDirectory(): Promise<string> {
  const directory = stateDirectory();
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const probe = join(directory, `probe.${process.pid}`);
    await writeFile(probe, '');
    await rm(probe);
    return directory;
  } catch (error) {
    throw permanent(
      'STATE_DIRECTORY',
      `the state of the embedded Temporal server can't be kept in ${directory} (${messageOf(error)})`,
      'Name a directory that you can write to in HOLDFAST_STATE_DIR, or a Temporal server in TEMPORAL_ADDRESS.',
      error,
    );
  }
}

async function readState(directory: string): Promise<EmbeddedState | undefined> {
  const path = join(directory, 'embedded.json');
  if (!existsSync(path)) return undefined;
  try {
    return embeddedState.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw permanent(
      'STATE_DAMAGED',
      `${path} can't be read (${messageOf(error)})`,
      'End the Temporal server and the worker of holdfast if they run, and remove this file.',
      error,
    );
  }
}

async function writeState(directory: string, state: EmbeddedState): Promise<void> {
  const path = join(directory, 'embedded.json');
  await writeFile(`${path}.new`, JSON.stringify(state), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Runs `work` while no other command starts or stops the server and workers. */
function locked<T>(directory: string, work: () => Promise<T>): Promise<T> {
  return withLock(
    join(directory, 'lock'),
    { onWait: (pid) => say(`Waiting for process ${pid}, which starts or stops the embedded server …`) },
    work,
  );
}
