import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { z } from 'zod';
import { withLock } from '../bootstrap/lock.mjs';
import { defined } from '../model/defined.ts';
import { messageOf, permanent, transient } from '../model/errors.ts';
import { canListen, freePort } from '../parts/ports.ts';
import { openPrivateFile } from '../parts/private-file.ts';
import { startTemporal } from '../parts/temporal.ts';
import { executableOf, TEMPORAL } from '../parts/tools.ts';
import { makeFolder } from '../repository/directory/make-folder.ts';
import { connectClient } from '../worker/connection.ts';
import {
  newSigningKey,
  readSigningKey,
  SIGNING_KEY_FILE,
  type SigningKey,
  writeSigningKey,
} from '../worker/signing.ts';
import { planWorkflowId } from '../workflows/plan-messages.ts';
import { uninterrupted } from './interrupts.ts';
import { say } from './output.ts';
import { signSchedules } from './sign-schedules.ts';
import { stateDirectory } from './state.ts';
import { chooseQueue, type Fingerprint, fingerprintOf } from './worker-environment.ts';
import { workerProcess } from './worker-process.ts';

/**
 * The embedded default: Temporal's dev server with its state in a file, and a worker. Both are separate processes, so that a run survives the command that
 * started it. The next command finds them by `embedded.json`.
 *
 * A worker resolves secrets from the environment that it was started with. So environments that differ in a variable that counts (`worker-environment.ts`) have
 * a task queue and a worker each.
 */
const embeddedState = z.object({
  /** Absent after the server was stopped on purpose. */
  serverPid: z.int().optional(),
  port: z.int(),
  uiPort: z.int(),
  /** Process ids by task queue. */
  workers: z.record(z.string(), z.int()),
  /** Digests of the environments that the workers were started with, by task queue. Absent in states of version 0.1.0. */
  environments: z.record(z.string(), z.record(z.string(), z.string())).optional(),
  /** The key of those digests, in base64. */
  environmentKey: z.string().optional(),
});
type EmbeddedState = Readonly<z.infer<typeof embeddedState>>;

/** What a command needs of the embedded server. */
export interface Needs {
  /**
   * `worker`: start the server, and a worker for this environment. `server`: start the server, and workers only for runs that have lost theirs. `nothing`:
   * start nothing.
   */
  readonly starts: 'worker' | 'server' | 'nothing';
  /** Names of the variables that the command's plans name. */
  readonly variables: readonly string[];
  /** Name of the command's plan. If the plan is applied, its worker serves the command. */
  readonly plan?: string;
}

interface Embedded {
  readonly address: string;
  readonly uiUrl: string;
  /** Key that signs what this command sends. Absent while a server runs that an earlier version started. */
  readonly key?: SigningKey;
  /** Task queue of the worker that serves this command. */
  readonly taskQueue: string;
  /** Task queue of the worker that serves a plan, if the plan is applied; otherwise the command's. @param variables names that the plan names */
  queueOf(client: Client, plan: string, variables: readonly string[]): Promise<string>;
  /** `dead`: one of the processes has died, and `ensureEmbedded` will start it again. `stopped`: the server was stopped on purpose. */
  condition(): Promise<'alive' | 'dead' | 'stopped'>;
}

/**
 * Finds the embedded server and worker, and starts what the command needs and is missing. Also starts a worker, with this command's environment, for each run
 * that has lost its own. Undefined only if nothing is to be started and no server has ever run.
 *
 * @throws HoldfastError `STATE_DIRECTORY`, `STATE_DAMAGED`, `WORKER_START`, `SERVER_STOPPED` and those of `startTemporal`
 */
export async function ensureEmbedded(needs: Needs): Promise<Embedded | undefined> {
  if (needs.starts === 'nothing') return findEmbedded(needs);
  const directory = await openStateDirectory();
  // The first download may take minutes, and may be interrupted. The rest must not be, or started processes would be forgotten.
  await executableOf(TEMPORAL);
  return uninterrupted(() =>
    locked(directory, async () => {
      const server = await ensureServer(directory);
      const { state, taskQueue } = await ensureWorkers(directory, server, needs);
      await writeFile(join(directory, `user.${process.pid}`), '', { mode: 0o600 });
      return embeddedOf(directory, state, taskQueue);
    }),
  );
}

/** The running server. Its database says what is applied, so nobody knows that while it is down. */
async function findEmbedded(needs: Needs): Promise<Embedded | undefined> {
  const directory = stateDirectory();
  const state = existsSync(directory) ? await readState(directory) : undefined;
  if (state === undefined) return undefined;
  if (!isRunning(state.serverPid) || !(await answers(state))) {
    throw transient(
      'SERVER_STOPPED',
      `the embedded Temporal server (state in ${directory}) does not run, so what is applied is not known`,
      'Start it with holdfast dev, and ask again.',
    );
  }
  const { client, connection } = await connectClient(addressOf(state));
  const applied = await appliedQueue(client, needs.plan).finally(() => connection.close());
  return embeddedOf(directory, state, queueFor(state, needs.variables, applied));
}

function embeddedOf(directory: string, state: EmbeddedState, taskQueue: string): Embedded {
  return {
    address: addressOf(state),
    uiUrl: uiUrlOf(state),
    ...defined({ key: signingKeyIn(directory) }),
    taskQueue,
    queueOf: async (client, plan, variables) => {
      const applied = await appliedQueue(client, plan);
      return applied === undefined ? taskQueue : queueFor(state, variables, applied);
    },
    condition: async () => {
      const pids = [state.serverPid, ...Object.values(state.workers)];
      if (pids.every(isRunning)) return 'alive';
      return (await readState(directory))?.serverPid === undefined ? 'stopped' : 'dead';
    },
  };
}

function queueFor(state: EmbeddedState, variables: readonly string[], applied: string | undefined): string {
  const running = Object.entries(state.workers).filter(([, pid]) => isRunning(pid));
  const { environments = {} } = state;
  const workers = Object.fromEntries(
    running.flatMap(([queue]): readonly [string, Fingerprint][] => {
      const fingerprint = environments[queue];
      return fingerprint === undefined ? [] : [[queue, fingerprint]];
    }),
  );
  return chooseQueue({
    environment: process.env,
    variables,
    workers,
    key: keyOf(state),
    ...defined({ applied }),
  });
}

function keyOf({ environmentKey = '' }: EmbeddedState): Buffer {
  return Buffer.from(environmentKey, 'base64');
}

/** The task queue of a plan's entity, if the plan is applied. */
async function appliedQueue(client: Client, plan: string | undefined): Promise<string | undefined> {
  if (plan === undefined) return undefined;
  try {
    const { status, taskQueue } = await client.workflow.getHandle(planWorkflowId(plan)).describe();
    return status.name === 'RUNNING' ? taskQueue : undefined;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

/** A process in the background. Field names are those of `status --processes --json`. */
interface BackgroundProcess {
  readonly kind: 'server' | 'worker';
  readonly pid: number;
  readonly address?: string;
  readonly uiUrl?: string;
  /** Of the server. True: workers do only what commands and workers of this installation have signed. */
  readonly signed?: boolean;
  readonly taskQueue?: string;
  /** Bytes of memory; absent where the system doesn't say. */
  readonly residentBytes?: number;
}

/** The running embedded server and its workers. Starts nothing. Throws `STATE_DAMAGED` (permanent). */
export async function backgroundProcesses(): Promise<readonly BackgroundProcess[]> {
  const directory = stateDirectory();
  const state = existsSync(directory) ? await readState(directory) : undefined;
  if (state === undefined) return [];
  const { serverPid } = state;
  const server: readonly BackgroundProcess[] =
    serverPid === undefined || !isRunning(serverPid)
      ? []
      : [
          {
            kind: 'server',
            pid: serverPid,
            address: addressOf(state),
            uiUrl: uiUrlOf(state),
            signed: existsSync(signingKeyFile(directory)),
          },
        ];
  const workers = Object.entries(state.workers)
    .filter(([, pid]) => isRunning(pid))
    .map(([taskQueue, pid]) => ({ kind: 'worker' as const, pid, taskQueue }));
  return [...server, ...workers].map((one) => ({
    ...one,
    ...defined({ residentBytes: residentBytes(one.pid) }),
  }));
}

/** What others on this machine can do with a server, in sentences. */
export function whatStaysOpen(signed: boolean): string {
  return signed
    ? 'Any user of this machine can reach these ports: read histories, cancel runs, and send plans what people send. Workers do nothing else that this installation did not sign (docs/security.md).'
    : 'Any user of this machine can reach these ports and have the workers do anything with their secrets: an earlier version started this server. End it by holdfast down, and the next one signs (docs/security.md).';
}

/** Memory of a process. Undefined where no file says it: only Linux has one. */
function residentBytes(pid: number): number | undefined {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1_024;
  } catch {
    return undefined; // The system has no such files, or the process has ended.
  }
}

/**
 * Every command calls this at its end. The last one stops server and workers, unless runs are under way (a command detached from one) or `keep` is set.
 * `shared`: another command still uses them, and will call this too.
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

/** Stops server and workers, even while runs are under way; these go on at the next start. Returns false if nothing was running. */
export async function stopEmbedded(): Promise<boolean> {
  const directory = stateDirectory();
  if (!existsSync(directory)) return false;
  return locked(directory, () => stopAll(directory));
}

async function stopAll(directory: string): Promise<boolean> {
  const state = await readState(directory);
  if (state === undefined) return false;
  const { serverPid, port, uiPort, environmentKey } = state;
  const serverRuns = isRunning(serverPid);
  // Written first, so that a command that follows a run doesn't take this for a crash.
  await writeState(directory, { port, uiPort, workers: {}, ...defined({ environmentKey }) });
  // Workers stop first, so that they can end their chunks while the server still answers.
  const workers = await stopWorkers(state);
  if (serverPid !== undefined && serverRuns) await stopProcess(serverPid);
  return serverRuns || workers > 0;
}

async function ensureServer(directory: string): Promise<EmbeddedState> {
  const previous = await readState(directory);
  if (previous !== undefined && isRunning(previous.serverPid) && (await answers(previous))) return previous;
  // Take the same ports as last time if they are free, so that links to the UI keep working.
  const port = await portLike(previous?.port);
  const uiPort = await portLike(previous?.uiPort);
  const server = await startTemporal({
    dbFile: join(directory, 'temporal.db'),
    logFile: join(directory, 'temporal.log'),
    lifetime: 'detached',
    port,
    uiPort,
  });
  const hadKey = existsSync(signingKeyFile(directory));
  const movesAway = previous !== undefined && (previous.port !== port || !hadKey);
  if (movesAway) await stopWorkers(previous);
  const workers = movesAway ? {} : (previous?.workers ?? {});
  if (!hadKey) await takeKey(directory, `127.0.0.1:${port}`);
  const { environments = {}, environmentKey = randomBytes(32).toString('base64') } = previous ?? {};
  const state = { serverPid: server.pid, port, uiPort, workers, environments, environmentKey };
  await writeState(directory, state);
  say(`Started a Temporal server (state in ${directory}); its UI: ${uiUrlOf(state)}`);
  return state;
}

/** The key that signs what commands and workers of this installation send each other (`worker/signing.ts`). */
function signingKeyFile(directory: string): string {
  return join(directory, 'signing-key.json');
}

function signingKeyIn(directory: string): SigningKey | undefined {
  const file = signingKeyFile(directory);
  return existsSync(file) ? readSigningKey(file) : undefined;
}

/**
 * Gives an installation its key. Runs that an earlier version began go on without signatures; runs that schedules start from now on need them. The key is
 * written last: if this process dies before that, the next one begins again.
 */
async function takeKey(directory: string, address: string): Promise<void> {
  const key = newSigningKey();
  const { client, connection } = await connectClient(address, key);
  await signSchedules(client).finally(() => connection.close());
  await writeSigningKey(signingKeyFile(directory), { ...key, since: new Date() });
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

async function ensureWorkers(
  directory: string,
  found: EmbeddedState,
  { starts, variables, plan }: Needs,
): Promise<{ readonly state: EmbeddedState; readonly taskQueue: string }> {
  const { client, connection } = await connectClient(addressOf(found));
  const look = async () => [await busyQueues(client, RUNNING), await appliedQueue(client, plan)] as const;
  const [queues, applied] = await look().finally(() => connection.close());
  // A dead worker without runs isn't started again, so it must not count as missing.
  const running = Object.entries(found.workers).filter(([, pid]) => isRunning(pid));
  let state: EmbeddedState = { ...found, workers: Object.fromEntries(running) };
  if (running.length < Object.keys(found.workers).length) await writeState(directory, state);
  const taskQueue = queueFor(state, variables, applied);
  if (starts === 'worker') queues.add(taskQueue);
  for (const queue of queues) {
    if (state.workers[queue] !== undefined) continue;
    const started = await startWorker(directory, state, queue);
    const environments = { ...state.environments, [queue]: fingerprintOf(process.env, keyOf(state)) };
    state = { ...state, workers: { ...state.workers, [queue]: started }, environments };
    await writeState(directory, state);
  }
  return { state, taskQueue };
}

const RUNNING = 'ExecutionStatus="Running"';
/** The lock of a source ends by itself when its runs have ended, so it doesn't count as a run. */
const UNDER_WAY = `${RUNNING} AND WorkflowType!="sourceGate"`;

/** Task queues of the runs under way. Temporal's list may be out of date, so this asks each run. */
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
  const log = await openPrivateFile(logFile);
  const extension = import.meta.url.endsWith('.js') ? 'js' : 'ts';
  const { execArgv, env } = workerProcess(process.env);
  const child = fork(fileURLToPath(new URL(`./main.${extension}`, import.meta.url)), ['worker'], {
    detached: true,
    stdio: ['ignore', log.fd, log.fd, 'ipc'],
    execArgv: [...execArgv],
    env: {
      ...env,
      TEMPORAL_ADDRESS: addressOf(server),
      HOLDFAST_TASK_QUEUE: taskQueue,
      // Nobody would make its build the current one.
      HOLDFAST_DEPLOYMENT: undefined,
      HOLDFAST_BUILD_ID: undefined,
      [SIGNING_KEY_FILE]: existsSync(signingKeyFile(directory)) ? signingKeyFile(directory) : undefined,
    },
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
    // The server hangs, or another process now has its id. Either way it can't be used.
    return false;
  }
}

function addressOf(state: Pick<EmbeddedState, 'port'>): string {
  return `127.0.0.1:${state.port}`;
}

function uiUrlOf(state: Pick<EmbeddedState, 'uiPort'>): string {
  return `http://127.0.0.1:${state.uiPort}`;
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

/** Whether a process has ended. A killed process keeps its id until its parent collects it. The first process of some containers never does. */
function hasEnded(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')')).startsWith(') Z');
  } catch {
    return false; // The system has no such files, or the process has ended; the next check finds out.
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
    await makeFolder(directory, 0o700);
    // Somebody may have made it by hand, or another version did.
    await chmod(directory, 0o700);
    const probe = join(directory, `probe.${process.pid}`);
    await writeFile(probe, '', { mode: 0o600 });
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

/** Runs `work`. Meanwhile no other command starts or stops the server and workers. */
function locked<T>(directory: string, work: () => Promise<T>): Promise<T> {
  return withLock(
    join(directory, 'lock'),
    { onWait: (pid) => say(`Waiting for process ${pid}, which starts or stops the embedded server …`) },
    work,
  );
}
