import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from '@temporalio/client';
import { permanent, transient } from '../model/errors.ts';
import { canListen, freePort } from '../parts/ports.ts';
import { startTemporal } from '../parts/temporal.ts';
import { connectClient } from '../worker/connection.ts';
import { say } from './output.ts';
import { stateDirectory } from './state.ts';

/**
 * The embedded default: Temporal's dev server with its state in a file, and a worker, both in processes of their own, so
 * that a run survives the death of the command that started it. The next command finds them by `embedded.json`.
 */
interface EmbeddedState {
  readonly serverPid: number;
  readonly port: number;
  readonly uiPort: number;
  readonly workerPid?: number;
  /** Of the variables that a worker resolves secrets from: another environment needs another worker. */
  readonly environment?: string;
}

export interface Embedded {
  readonly address: string;
  readonly uiUrl: string;
  readonly serverPid: number;
  readonly workerPid: number;
}

const READY_WITHIN_MS = 60_000;

/** Finds the embedded server and worker, or starts what is missing; without `worker`, the server alone. */
export async function ensureEmbedded(options = { worker: true }): Promise<Embedded> {
  const directory = stateDirectory();
  await mkdir(directory, { recursive: true, mode: 0o700 });
  return withLock(directory, async () => {
    let state = await readState(directory);
    if (state === undefined || !isRunning(state.serverPid) || !(await answers(state))) {
      state = await startServer(directory, state);
      await writeState(directory, state);
      say(`Started a Temporal server (state in ${directory}); its UI: http://127.0.0.1:${state.uiPort}`);
    }
    const environment = environmentFingerprint();
    if (!options.worker) {
      // The caller hosts workers of its own.
    } else if (
      state.workerPid === undefined ||
      !isRunning(state.workerPid) ||
      state.environment !== environment
    ) {
      if (state.workerPid !== undefined && isRunning(state.workerPid)) await stopProcess(state.workerPid);
      state = { ...state, workerPid: await startWorker(directory, state.port), environment };
      await writeState(directory, state);
    }
    await writeFile(join(directory, `user.${process.pid}`), '');
    return {
      address: addressOf(state),
      uiUrl: `http://127.0.0.1:${state.uiPort}`,
      serverPid: state.serverPid,
      workerPid: state.workerPid ?? 0,
    };
  });
}

/**
 * Called by a command that ends. The last one out stops server and worker, unless runs are under way (somebody detached)
 * or `keep` is said. Returns whether they still run.
 */
export async function leaveEmbedded(client: Client, keep: boolean): Promise<'stopped' | 'running'> {
  const directory = stateDirectory();
  return withLock(directory, async () => {
    await rm(join(directory, `user.${process.pid}`), { force: true });
    const { count } = await client.workflowService.countWorkflowExecutions({
      namespace: 'default',
      query: 'ExecutionStatus="Running"',
    });
    if (keep || Number(count) > 0 || (await otherUsers(directory)) > 0) return 'running';
    await stopAll(directory);
    return 'stopped';
  });
}

/** Stops server and worker whatever runs; runs go on at the next start. Returns false if none was running. */
export async function stopEmbedded(): Promise<boolean> {
  const directory = stateDirectory();
  if (!existsSync(directory)) return false;
  return withLock(directory, () => stopAll(directory));
}

async function stopAll(directory: string): Promise<boolean> {
  const state = await readState(directory);
  if (state === undefined) return false;
  let stopped = false;
  for (const pid of [state.workerPid, state.serverPid]) {
    if (pid !== undefined && isRunning(pid)) {
      await stopProcess(pid);
      stopped = true;
    }
  }
  return stopped;
}

async function startServer(directory: string, previous: EmbeddedState | undefined): Promise<EmbeddedState> {
  // The same ports as last time where they are free, so that a link to the UI goes on working.
  const port = await portLike(previous?.port);
  const uiPort = await portLike(previous?.uiPort);
  const server = await startTemporal({
    dbFile: join(directory, 'temporal.db'),
    logFile: join(directory, 'temporal.log'),
    lifetime: 'detached',
    port,
    uiPort,
  });
  return { serverPid: server.pid ?? 0, port, uiPort };
}

async function portLike(previous: number | undefined): Promise<number> {
  return previous !== undefined && (await canListen(previous)) ? previous : freePort();
}

async function startWorker(directory: string, port: number): Promise<number> {
  const log = await open(join(directory, 'worker.log'), 'a');
  const extension = import.meta.url.endsWith('.js') ? 'js' : 'ts';
  const child = fork(fileURLToPath(new URL(`./main.${extension}`, import.meta.url)), ['worker'], {
    detached: true,
    stdio: ['ignore', log.fd, log.fd, 'ipc'],
    env: { ...process.env, TEMPORAL_ADDRESS: `127.0.0.1:${port}` },
  });
  await log.close();
  await new Promise<void>((resolve, reject) => {
    const failed = () =>
      reject(
        permanent(
          'WORKER_START',
          'the worker did not start',
          `Read ${join(directory, 'worker.log')} for the reason.`,
        ),
      );
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
    // Not yet, or no longer: the caller decides how long to go on asking.
    return false;
  }
}

function addressOf(state: Pick<EmbeddedState, 'port'>): string {
  return `127.0.0.1:${state.port}`;
}

/** Volatile variables of a shell change nothing that a worker reads. */
const IGNORED_VARIABLES = new Set([
  '_',
  'SHLVL',
  'PWD',
  'OLDPWD',
  'TERM',
  'COLUMNS',
  'LINES',
  'TMUX',
  'TMUX_PANE',
]);

function environmentFingerprint(): string {
  const hash = createHash('sha256');
  for (const name of Object.keys(process.env).sort()) {
    if (!IGNORED_VARIABLES.has(name) && !name.startsWith('npm_'))
      hash.update(`${name}=${process.env[name]}\0`);
  }
  return hash.digest('hex');
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

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EPERM') return true;
    return false; // ESRCH: no such process.
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

async function readState(directory: string): Promise<EmbeddedState | undefined> {
  const path = join(directory, 'embedded.json');
  if (!existsSync(path)) return undefined;
  return JSON.parse(await readFile(path, 'utf8')) as EmbeddedState;
}

async function writeState(directory: string, state: EmbeddedState): Promise<void> {
  const path = join(directory, 'embedded.json');
  await writeFile(`${path}.new`, JSON.stringify(state), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** One command at a time starts or stops; a lock whose owner is gone is taken over. */
async function withLock<T>(directory: string, work: () => Promise<T>): Promise<T> {
  const path = join(directory, 'lock');
  const deadline = Date.now() + 2 * READY_WITHIN_MS;
  for (;;) {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      const owner = Number(await readFile(path, 'utf8').catch(() => '0'));
      if (owner > 0 && !isRunning(owner)) await rm(path, { force: true });
      else if (Date.now() > deadline) {
        throw transient(
          'STATE_LOCKED',
          `${path} is held by process ${owner}`,
          'Wait for that command, or remove it.',
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}
